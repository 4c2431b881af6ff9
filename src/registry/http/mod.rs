//! The HTTP engine.

mod clients;
mod gate;
mod length;
mod outage;
mod pace;
mod rate;
mod response;
mod retry;
mod transport;
mod upload_body;

pub(in crate::registry) use clients::{Connections, HttpClients, Peer};
pub(in crate::registry) use gate::Gates;
pub(in crate::registry) use length::length;
pub(in crate::registry) use outage::Outages;
pub(in crate::registry) use response::Response;
pub use retry::RetryPolicy;
pub(in crate::registry) use retry::{Budget, http_date, retry_after};
pub(in crate::registry) use transport::{Call, Payload, Sending};
pub(in crate::registry) use upload_body::{Flaw, PieceBody, PieceTrace, Window, hash_window};
