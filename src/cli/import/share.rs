//! Report of an import with `--shard`.

use crate::model::{ByteSize, Count};
use crate::ops::import::ShareReport;

pub(super) fn text(report: &ShareReport) -> String {
    let mut text = format!(
        "shard {}: {}, {} uploaded, {} were there already\n",
        report.shard,
        Count::of(report.blobs, "blob"),
        ByteSize(report.bytes_uploaded),
        ByteSize(report.bytes_reused)
    );
    if !report.authenticated {
        text.push_str("NOT AUTHENTICATED: nobody who is trusted vouched for this bundle\n");
    }
    text.push_str(
        "nothing is visible yet: when all shards are done, the same command without --shard \
         finds the blobs there and sets the tags\n",
    );
    text
}
