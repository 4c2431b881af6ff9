//! `airferry serve` (being written).

use super::Output;
use crate::ops::Error;

/// (being written)
#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {}

pub(crate) async fn run(_args: ServeArgs, _output: &Output) -> Result<(), Error> {
    Err(Error::usage("not yet"))
}
