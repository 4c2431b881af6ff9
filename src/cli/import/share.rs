//! Report of an import with `--shard`.

use crate::model::{ByteSize, Count};
use crate::ops::import::ShareReport;

pub(super) fn text(report: &ShareReport) -> String {
    let mut text = format!(
        "shard {}: {}, {} sent, {} already on the target\n",
        report.shard,
        Count::of(report.blobs, "blob"),
        ByteSize(report.bytes_uploaded),
        ByteSize(report.bytes_reused)
    );
    if !report.authenticated {
        text.push_str("NOT AUTHENTICATED: no trusted key has signed this bundle\n");
    }
    text.push_str(
        "no image is tagged yet: when all shards are done, run the same command without --shard, \
         which finds the blobs on the target and sets the tags\n",
    );
    text
}
