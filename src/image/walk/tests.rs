use std::collections::BTreeMap;
use std::io::Cursor;

use super::*;
use crate::error::chain;

/// A layer in memory whose digest may be wrong.
struct Memory {
    bytes: Cursor<Vec<u8>>,
    right: bool,
}

impl Read for Memory {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.bytes.read(buffer)
    }
}

impl LayerBlob for Memory {
    fn finish(&mut self) -> Result<()> {
        match self.right {
            true => Ok(()),
            false => Err(Error::new(Class::VerificationFailed, "Another digest")),
        }
    }
}

/// Makes a layer from short notations: `path` (content: layer number and path), `path/`, `path ->
/// symlink`, `path => hard link`.
fn layer(number: usize, entries: &[&str]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for text in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(0);
        let (path, link, kind) = if let Some((path, link)) = text.split_once(" -> ") {
            (path, link, tar::EntryType::Symlink)
        } else if let Some((path, link)) = text.split_once(" => ") {
            (path, link, tar::EntryType::Link)
        } else if text.ends_with('/') {
            (*text, "", tar::EntryType::Directory)
        } else {
            (*text, "", tar::EntryType::Regular)
        };
        header.set_entry_type(kind);
        if kind == tar::EntryType::Regular {
            let content = format!("{number}:{path}");
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, path, content.as_bytes())
                .unwrap();
        } else if link.is_empty() {
            tar.append_data(&mut header, path, io::empty()).unwrap();
        } else {
            tar.append_link(&mut header, path, link).unwrap();
        }
    }
    tar.into_inner().unwrap()
}

const CAPS: Caps = Caps {
    layer: 1 << 20,
    file: 100,
    total: 1000,
};

/// The result of a walk.
#[derive(Debug, Default, PartialEq)]
struct Found {
    /// Content by path.
    files: BTreeMap<String, String>,
    missing: Vec<String>,
    /// Numbers of the layers that were read, in order.
    opened: Vec<usize>,
}

fn walk_all(layers: &[Vec<u8>], right: bool, caps: Caps, wanted: &[&str]) -> Result<Found> {
    let wanted: Vec<ImagePath> = wanted.iter().map(|path| path.parse().unwrap()).collect();
    let mut found = Found::default();
    let mut files = BTreeMap::new();
    let mut take = |file: &File, content: &mut dyn Read| {
        let mut text = String::new();
        content
            .read_to_string(&mut text)
            .map_err(|error| Error::internal("Unread", error))?;
        for path in &file.paths {
            let before = files.insert(path.to_string(), text.clone());
            assert_eq!(before, None, "{path} was given twice");
        }
        Ok(())
    };
    let mut open = |number: usize| {
        found
            .opened
            .extend((number < layers.len()).then_some(number));
        Ok(layers.get(number).map(|bytes| Memory {
            bytes: Cursor::new(bytes.clone()),
            right,
        }))
    };
    let missing = Walk::new("IMAGE", &wanted, caps, &mut take).run(&mut open)?;
    found.missing = missing.iter().map(ToString::to_string).collect();
    found.files = files;
    Ok(found)
}

/// Walks layers given from the top down; returns `path=content`, then `-missing`, and the numbers
/// of the layers that were read.
fn walk(layers: &[&[&str]], wanted: &[&str]) -> (Vec<String>, Vec<usize>) {
    let layers: Vec<_> = layers
        .iter()
        .enumerate()
        .map(|(number, entries)| layer(number, entries))
        .collect();
    let found = walk_all(&layers, true, CAPS, wanted).unwrap();
    let files = found.files.iter();
    let mut lines: Vec<_> = files.map(|(path, text)| format!("{path}={text}")).collect();
    lines.extend(found.missing.iter().map(|path| format!("-{path}")));
    (lines, found.opened)
}

fn refused(layers: &[Vec<u8>], right: bool, caps: Caps, wanted: &[&str]) -> String {
    chain(&walk_all(layers, right, caps, wanted).unwrap_err())
}

#[test]
fn wanted_files_are_given_once_and_layers_are_read_as_far_as_needed() {
    for (name, layers, wanted, expected, opened) in [
        (
            "an upper layer decides, the lower is not read",
            &[&["a", "x"][..], &["a", "y"]][..],
            &["a"][..],
            &["a=0:a"][..],
            &[0][..],
        ),
        (
            "a directory is gathered from all layers",
            &[
                &["d/a", "d/.wh.gone"],
                &["d/a", "d/b", "d/gone", "e"],
                &["d/e/c"],
            ],
            &["d"],
            &["d/a=0:d/a", "d/b=1:d/b", "d/e/c=2:d/e/c"],
            &[0, 1, 2],
        ),
        (
            "an opaque directory ends the search",
            &[&["d/a", "d/.wh..wh..opq"], &["d/b"]],
            &["d"],
            &["d/a=0:d/a"],
            &[0],
        ),
        (
            "a whiteout, and nothing at all",
            &[&[".wh.a"], &["a", "b"]],
            &["a", "z"],
            &["-a", "-z"],
            &[0, 1],
        ),
        (
            "a file wanted twice is given once",
            &[&["d/a"]],
            &["d", "d/a"],
            &["d/a=0:d/a"],
            &[0],
        ),
    ] {
        let (found, read) = walk(layers, wanted);
        assert_eq!(found, expected, "{name}");
        assert_eq!(read, opened, "{name}");
    }
}

#[test]
fn links_are_followed() {
    for (name, layers, wanted, expected, opened) in [
        (
            "to a file that comes later in the layer",
            &[&["bin/oc -> oc.9", "bin/oc.9"][..]][..],
            &["bin/oc"][..],
            &["bin/oc=0:bin/oc.9"][..],
            &[0][..],
        ),
        (
            "to a file that came before, whose layer is read again",
            &[&["other"], &["bin/oc.9", "bin/oc -> /bin/oc.9"]],
            &["bin/oc"],
            &["bin/oc=1:bin/oc.9"],
            &[0, 1, 1],
        ),
        (
            "to a file of an upper layer, and of a lower one",
            &[&["up"], &["a -> up", "b -> ./low"], &["low", "up"]],
            &["a", "b"],
            &["a=0:up", "b=2:low"],
            &[0, 1, 2, 0],
        ),
        (
            "of a directory above the file, and of a link to it",
            &[&["bin -> usr/bin", "usr/bin/oc -> oc.9"], &["usr/bin/oc.9"]],
            &["bin/oc"],
            &["bin/oc=1:usr/bin/oc.9"],
            &[0, 1],
        ),
        (
            "to a directory that is wanted itself",
            &[&["real/a", "d -> real", "real/b"], &["real/c", "real/a"]],
            &["d"],
            &["d/a=0:real/a", "d/b=0:real/b", "d/c=1:real/c"],
            &[0, 1, 0],
        ),
        (
            "from a wanted directory to files, not to directories",
            &[&["d/a -> ../x", "d/loop -> .", "d/e -> ../e", "x", "e/y"]],
            &["d"],
            &["d/a=0:x"],
            &[0],
        ),
        (
            "out of the image they lead back into it",
            &[&["a -> ../../../b", "b"]],
            &["a"],
            &["a=0:b"],
            &[0],
        ),
        (
            "nowhere",
            &[&["a -> gone", "b -> /", "c -> d", "d/"]],
            &["a", "b", "c"],
            &["-a", "-b", "-c"],
            &[0],
        ),
        (
            "a hard link, whose target an upper layer hides",
            &[&["t"], &["t", "h => t", "s -> h"]],
            &["h", "s"],
            &["h=1:t", "s=1:t"],
            &[0, 1, 1],
        ),
        (
            "hard links to hard links",
            &[&["t", "h => t", "i => h"]],
            &["i"],
            &["i=0:t"],
            &[0, 0, 0],
        ),
    ] {
        let (found, read) = walk(layers, wanted);
        assert_eq!(found, expected, "{name}");
        assert_eq!(read, opened, "{name}");
    }
}

#[test]
fn what_cannot_be_believed_is_refused() {
    let one = |entries: &[&str]| vec![layer(0, entries)];
    let said = refused(&one(&["a"]), false, CAPS, &["a"]);
    assert_eq!(said, "Another digest");
    // The digest explains a broken layer.
    let said = refused(&[b"garbage".to_vec()], false, CAPS, &["a"]);
    assert_eq!(said, "Another digest");
    let said = refused(&[b"garbage".to_vec()], true, CAPS, &["a"]);
    assert_eq!(
        said,
        "The image IMAGE cannot be read: The layer's tar ends too early"
    );
    // Cut inside a wanted file.
    let mut cut = layer(0, &["a"]);
    cut.truncate(514);
    let said = refused(&[cut], true, CAPS, &["a"]);
    assert_eq!(
        said,
        "The image IMAGE cannot be read: The layer's tar ends too early"
    );
    let said = refused(&one(&["a", "a"]), true, CAPS, &["a"]);
    assert!(said.contains("has two entries for `a`"), "{said}");
    let said = refused(&one(&["d", "d/a"]), true, CAPS, &["d/a"]);
    assert!(said.contains("has two entries for `d/a`"), "{said}");
    assert!(walk_all(&one(&["a", "a", "b"]), true, CAPS, &["b"]).is_ok());
    let said = refused(&one(&["a -> b", "b -> a"]), true, CAPS, &["a"]);
    assert!(
        said.contains("`a` follows too many links, probably in a loop"),
        "{said}"
    );
    let said = refused(&one(&["s -> x", "h => s"]), true, CAPS, &["h"]);
    assert!(said.contains("hard link to a symbolic link"), "{said}");
    for caps in [Caps { file: 2, ..CAPS }, Caps { total: 5, ..CAPS }] {
        let said = refused(&one(&["a", "b"]), true, caps, &["a", "b"]);
        assert!(said.contains("has 3 bytes;"), "{said}");
    }
    let caps = Caps { layer: 700, ..CAPS };
    let said = refused(&one(&["a"]), true, caps, &["a"]);
    assert!(said.contains("more than the 700 bytes"), "{said}");
}

#[test]
fn a_content_counts_once_for_each_of_its_names() {
    // 3 bytes under 4 names.
    let layers = [layer(0, &["d/a", "d/b => d/a", "d/c => d/a", "d/e -> a"])];
    let caps = |total| Caps { total, ..CAPS };
    let found = walk_all(&layers, true, caps(20), &["d"]).unwrap();
    assert_eq!(found.files.len(), 4);
    let said = refused(&layers, true, caps(19), &["d"]);
    assert!(
        said.contains("`d/b` has 5 bytes and 3 names; 100 are allowed for one file, 19 for all"),
        "{said}"
    );
}

/// Returns how many wanted paths are visited for this many links of each kind below a wanted
/// directory.
fn visits(count: usize) -> usize {
    let mut entries = vec!["d/target".to_owned()];
    for n in 0..count {
        entries.push(format!("d/h{n} => d/target"));
        // Links to a file that has passed, to one that is still to come, and to none.
        entries.push(format!("d/s{n} -> target"));
        entries.push(format!("d/t{n} -> ../later"));
        entries.push(format!("d/u{n} -> ../never/{n}"));
    }
    entries.push("later".to_owned());
    let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
    let bytes = layer(0, &entries);
    let wanted = ["d".parse().unwrap()];
    let mut names = 0;
    let mut take = |file: &File, _: &mut dyn Read| {
        names += file.paths.len();
        Ok(())
    };
    let caps = Caps {
        layer: 64 << 20,
        total: 1 << 30,
        ..CAPS
    };
    let mut walk = Walk::new("IMAGE", &wanted, caps, &mut take);
    let mut open = |number: usize| {
        Ok((number == 0).then(|| Memory {
            bytes: Cursor::new(bytes.clone()),
            right: true,
        }))
    };
    assert_eq!(walk.walk(&mut open).unwrap(), []);
    let visits = walk.wanted_paths.visits;
    assert_eq!(names, 1 + 3 * count);
    visits
}

#[test]
fn links_cost_what_they_are_many() {
    let (few, many) = (visits(100), visits(1000));
    assert!(few > 400, "{few}");
    assert!(many <= 10 * few, "{few} {many}");
}

#[test]
fn links_to_what_is_looked_for_are_capped() {
    let deep = "p".repeat(90);
    let links: Vec<String> = (0..100_000).map(|n| format!("d/{n} -> {deep}")).collect();
    let links: Vec<&str> = links.iter().map(String::as_str).collect();
    let caps = Caps {
        layer: 1 << 30,
        ..CAPS
    };
    let said = refused(&[layer(0, &links)], true, caps, &["d"]);
    assert!(
        said.contains("takes more than the 33554432 bytes that are allowed"),
        "{said}"
    );
    // Links outside the wanted path do not count.
    assert!(walk_all(&[layer(0, &links)], true, caps, &["e"]).is_ok());
}
