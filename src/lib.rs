//! airferry carries container images across air gaps.
//!
//! The library holds everything; `main.rs` only starts it. Who may use whom:
//!
//! | module | may use | may not |
//! |---|---|---|
//! | `model` | | I/O, async, clocks, environment |
//! | `progress` | `model` | draw or print |
//! | `encoding` | `model` | paths, async |
//! | `oci` | `model` | paths of files, async |
//! | `format` | `model`, `encoding`, `oci` | paths, async |
//! | `content` | `model`, `encoding` | I/O, async |
//! | `programs` | | paths of files, async |
//! | `codec` | `model` | paths, network, async |
//! | `plan` | `model`, `content` | `format`, I/O, clocks |
//! | `cluster` | `model`, `plan` | `format`, I/O |
//! | `sys` | `model` | the network |
//! | `registry` | `model`, `progress` | the file system |
//! | `serve` | `model`, `oci`, `sys` | |
//! | `ops` | all of the above | clap, printing |
//! | `cli` | all of the above | |
//!
//! clap, indicatif and printing live in `cli` alone; tokio and HTTP only in `registry`, `serve`
//! and `ops` (and the runtime in `main.rs`); `std::fs`, clocks and randomness only in `sys`; the
//! environment only in `cli`. `tests/it/layering.rs` reads the sources and keeps this table.

pub mod cli;
pub mod cluster;
pub mod codec;
pub mod content;
pub mod encoding;
pub mod format;
pub mod model;
pub mod oci;
pub mod ops;
pub mod plan;
pub mod programs;
pub mod progress;
pub mod registry;
pub mod serve;
pub mod sys;
