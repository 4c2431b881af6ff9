//! `airferry codec` (being written).

use super::Output;
use crate::ops::Error;

/// (being written)
#[derive(Debug, clap::Args)]
pub(crate) struct CodecArgs {}

pub(crate) async fn run(_args: CodecArgs, _output: &Output) -> Result<(), Error> {
    Err(Error::usage("not yet"))
}
