//! Checks that attachments belong to their image and that their tags name their subject
//! (bundle-format.md, R-27).

use super::{Result, refused};
use crate::model::{
    AttachedBy, Attachment, COSIGN_ENDINGS, Digest, Graph, ImageEntry, Limits, cosign_tag,
};

/// Checks the attachments of images, one image after the other.
pub(super) struct Attachments<'g, 'a> {
    graph: &'g Graph<'a>,
    /// For each row: number of the last image from which it was reached.
    reached: Vec<u32>,
    turn: u32,
    /// Rows and children visited, summed over all images.
    steps: usize,
}

impl<'g, 'a> Attachments<'g, 'a> {
    pub(super) fn new(graph: &'g Graph<'a>, rows: usize) -> Self {
        Self {
            graph,
            reached: vec![0; rows],
            turn: 0,
            steps: 0,
        }
    }

    pub(super) fn check(&mut self, image: &ImageEntry) -> Result<()> {
        let name = &image.requested;
        if let Some(other) = image.attached.iter().find(|a| !has_right_tag(a)) {
            let root = other.root;
            return refused(
                27,
                match (other.by, &other.tag) {
                    (AttachedBy::CosignTag, None) => {
                        format!("the cosign artifact `{root}` of `{name}` has no tag")
                    }
                    (AttachedBy::CosignTag, Some(tag)) => format!(
                        "`{tag}` is no tag of a cosign artifact about `{}`",
                        other.subject
                    ),
                    (AttachedBy::Referrers, _) => {
                        format!("the referrer `{root}` of `{name}` has a tag")
                    }
                },
            );
        }
        let is_of_root = |attached: &Attachment| Some(attached.subject) == image.root;
        if image.attached.iter().all(is_of_root) {
            return Ok(());
        }
        if !self.reach(image) {
            let fault = "too many rows lie between the images and what is attached to them";
            return refused(11, fault.to_owned());
        }
        let mut attached = image.attached.iter();
        match attached.find(|attached| !self.is_reached(&attached.subject)) {
            None => Ok(()),
            Some(stray) => {
                let (root, subject) = (stray.root, stray.subject);
                refused(
                    27,
                    format!("`{root}` is attached to `{subject}`, which `{name}` does not contain"),
                )
            }
        }
    }

    /// Marks the rows reachable from an image's root and from the attachments of each reached
    /// row. Returns false if the limit on steps was exceeded.
    fn reach(&mut self, image: &ImageEntry) -> bool {
        self.turn += 1;
        let row = |digest: &Digest| self.graph.manifest(digest);
        let attached = image.attached.iter();
        let pairs = attached.filter_map(|a| Some((row(&a.subject)?, row(&a.root)?)));
        let mut by_subject: Vec<(u32, u32)> = pairs.collect();
        by_subject.sort_unstable();
        let mut waiting: Vec<u32> = image.root.as_ref().and_then(row).into_iter().collect();
        while let Some(row) = waiting.pop() {
            match self.reached.get_mut(row as usize) {
                Some(reached) if *reached != self.turn => *reached = self.turn,
                _ => continue,
            }
            let children = self.graph.children(row);
            self.steps += 1 + children.len();
            if self.steps > Limits::NAME_STEPS {
                return false;
            }
            waiting.extend(children);
            let first = by_subject.partition_point(|(subject, _)| *subject < row);
            let own = by_subject.get(first..).unwrap_or_default().iter();
            let own = own.take_while(|(subject, _)| *subject == row);
            waiting.extend(own.map(|(_, root)| root));
        }
        true
    }

    fn is_reached(&self, digest: &Digest) -> bool {
        let row = self.graph.manifest(digest);
        let turn = row.and_then(|row| self.reached.get(row as usize));
        turn == Some(&self.turn)
    }
}

/// Returns true if a cosign artifact's tag names its subject, or a referrer has no tag.
fn has_right_tag(attached: &Attachment) -> bool {
    match (attached.by, &attached.tag) {
        (AttachedBy::Referrers, tag) => tag.is_none(),
        (AttachedBy::CosignTag, None) => false,
        (AttachedBy::CosignTag, Some(tag)) => {
            let mut own = COSIGN_ENDINGS.iter();
            own.any(|ending| tag.as_str() == cosign_tag(&attached.subject, ending))
        }
    }
}
