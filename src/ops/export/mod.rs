//! `airferry export`: registry to medium.

mod chunk_file;
mod lane;
mod request;
mod resolve;
mod state;
mod transfer;
