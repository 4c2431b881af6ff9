//! The list of written files, by which a later run recognises files of an earlier one.
//!
//! The list has the format of `sha256sum`, so that `sha256sum -c airferry.sha256` checks the
//! directory. It is not trusted: only files that airferry could have written are ever removed, and
//! only with the content that the list states.

use std::collections::BTreeMap;
use std::path::Path;

use crate::cluster::{APPLY, BEFORE_4_13, File, IF_INSTALLED};
use crate::error::Result;
use crate::format::hash::sha256;
use crate::model::Digest;
use crate::ops::context::Context;
use crate::sys::files;

/// Name of the list.
const LIST: &str = "airferry.sha256";

/// Limit for the length of the list, in bytes.
const LIST_CAP: u64 = 1 << 20;

/// Limit for the length of a listed file, in bytes; longer ones count as changed.
const FILE_CAP: u64 = 64 << 20;

/// What happens to files of an earlier run that this run does not write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ops) enum Earlier {
    /// They are removed if they are unchanged.
    Remove,
    /// They stay, because this run is incomplete and may write them later.
    Keep,
}

/// Paths below the directory, and the digests of their content.
pub(super) struct Written(BTreeMap<String, Digest>);

impl Written {
    /// Reads the list of an earlier run. Lines that airferry would not write are ignored.
    pub(super) fn read(directory: &Path) -> Self {
        let text = files::read_text(&directory.join(LIST), LIST_CAP).unwrap_or_default();
        let line = |line: &str| {
            let (hex, path) = line.split_once("  ")?;
            let digest = format!("{}:{hex}", Digest::ALGORITHM).parse().ok()?;
            is_ours(path).then(|| (path.to_owned(), digest))
        };
        Self(text.lines().filter_map(line).collect())
    }

    /// Saves a file that is about to be replaced, if airferry did not write its present content.
    pub(super) fn save_changed(&self, path: &Path, new: &File, context: &Context) -> Result<()> {
        if !files::exists(path) {
            return Ok(());
        }
        let present = files::read(path, FILE_CAP)?;
        let is_ours = self.0.get(&new.name) == Some(&sha256(&present));
        if is_ours || present == new.text.as_bytes() {
            return Ok(());
        }
        let mut saved = path.as_os_str().to_owned();
        saved.push(".bak");
        let saved = Path::new(&saved);
        files::write_atomically(saved, &present, 0o644)?;
        context.warn(format!(
            "`{}` was changed since an earlier run, or is not from airferry; it was saved as `{}` \
             and is replaced",
            path.display(),
            saved.display()
        ));
        Ok(())
    }

    /// Removes or names the files of this list that are not among `files`, and writes the list of
    /// what is there now.
    pub(super) fn replace(
        self,
        directory: &Path,
        now: &[File],
        earlier: Earlier,
        context: &Context,
    ) -> Result<()> {
        let mut list: BTreeMap<String, Digest> = now
            .iter()
            .map(|file| (file.name.clone(), sha256(file.text.as_bytes())))
            .collect();
        let mut removed = Vec::new();
        for (name, written) in self.0 {
            let path = directory.join(&name);
            if list.contains_key(&name) || !files::exists(&path) {
                continue;
            }
            let is_unchanged =
                || files::read(&path, FILE_CAP).is_ok_and(|bytes| sha256(&bytes) == written);
            if earlier == Earlier::Remove && is_unchanged() {
                files::remove(&path)?;
                removed.push(name);
                continue;
            }
            let why = match earlier {
                Earlier::Remove => {
                    "it was changed since: remove it, or the cluster is given it again"
                }
                Earlier::Keep => "this run is not complete",
            };
            context.warn(format!(
                "`{}` is from an earlier run and was not written by this one; it stays, because \
                 {why}",
                path.display()
            ));
            list.insert(name, written);
        }
        if !removed.is_empty() {
            context.warn(format!(
                "Files of an earlier run were removed from `{}`, because this run does not need \
                 them: {}. Bundles that a cluster needs together want a directory each",
                directory.display(),
                removed.join(", ")
            ));
        }
        let lines = list.iter();
        let text: String = lines
            .map(|(name, digest)| format!("{}  {name}\n", digest.hex()))
            .collect();
        files::write_atomically(&directory.join(LIST), text.as_bytes(), 0o644)?;
        Ok(())
    }
}

/// True if airferry can have written a file of this name: no path leads out of the directory.
fn is_ours(path: &str) -> bool {
    let name = match path.split_once('/') {
        Some((APPLY | BEFORE_4_13 | IF_INSTALLED, name)) => name,
        Some(_) => return false,
        None => path,
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let endings = [".yaml", ".json", ".txt"];
    name.chars().all(is_plain) && endings.iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_our_own_are_taken_from_a_list() {
        for good in [
            "apply/catalogSource-a-b.yaml",
            "mapping.txt",
            "if-installed/x.yaml",
        ] {
            assert!(is_ours(good), "{good}");
        }
        for bad in [
            "../x.yaml",
            "/etc/x.yaml",
            "apply/../../x.yaml",
            "apply/a/b.yaml",
            "x",
            "b/x.yaml",
        ] {
            assert!(!is_ours(bad), "{bad}");
        }
    }
}
