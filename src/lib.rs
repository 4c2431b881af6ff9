//! airferry carries container images across air gaps.
//!
//! The library contains all code; `main.rs` only starts it. These modules may use each other as
//! follows:
//!
//! | module | may use | may not |
//! |---|---|---|
//! | `model` | | I/O, async, clocks, environment |
//! | `error` | | I/O, async |
//! | `progress` | `model` | draw or print |
//! | `encoding` | `model` | paths, async |
//! | `oci` | `model` | paths of files, async |
//! | `format` | `model`, `encoding`, `oci` | paths, async |
//! | `content` | `model`, `encoding`, `oci` | I/O, async |
//! | `programs` | | paths of files, async |
//! | `codec` | `model` | paths, network, async |
//! | `plan` | `model`, `content` | `format`, I/O, clocks |
//! | `cluster` | `model`, `plan` | `format`, I/O |
//! | `sys` | `model`, `error`, `progress` | the network |
//! | `registry` | `model`, `error`, `progress` | the file system |
//! | `serve` | `model`, `oci`, `sys` | |
//! | `bundle` | `model`, `error`, `progress`, `encoding`, `oci`, `format`, `plan`, `sys` | the network, async |
//! | `image` | `model`, `error`, `encoding`, `oci`, `format`, `content`, `codec`, `plan`, `sys`, `registry`, `bundle` | |
//! | `ops` | all of the above | clap, printing |
//! | `cli` | all of the above | |
//!
//! clap, indicatif and printing live in `cli` alone; tokio and HTTP only in `registry`, `serve`,
//! `image` and `ops` (and the runtime in `cli`); `std::fs`, clocks and randomness only in `sys`;
//! the environment only in `cli`. Other programs are started by `sys` (a signer) and `registry` (a
//! credential helper) alone. `tests/it/layering.rs` reads the sources and enforces this table.

pub mod bundle;
pub mod cli;
pub mod cluster;
pub mod codec;
pub mod content;
pub mod encoding;
pub mod error;
pub mod format;
pub mod image;
pub mod model;
pub mod oci;
pub mod ops;
pub mod plan;
pub mod programs;
pub mod progress;
pub mod registry;
pub mod serve;
pub mod sys;
