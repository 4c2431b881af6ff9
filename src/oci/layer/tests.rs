use std::io::{Cursor, Write};

use super::*;

/// A tar that is built entry by entry, without the checks of a real writer.
#[derive(Default)]
struct Hostile(Vec<u8>);

impl Hostile {
    fn header(mut self, name: &[u8], kind: u8, size: u64, link: &[u8]) -> Self {
        let mut header = ::tar::Header::new_ustar();
        let fields = header.as_ustar_mut().unwrap();
        fields.name[..name.len()].copy_from_slice(name);
        fields.linkname[..link.len()].copy_from_slice(link);
        header.set_mode(0o4755);
        header.set_size(size);
        header.set_entry_type(::tar::EntryType::new(kind));
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self
    }

    fn data(mut self, data: &[u8]) -> Self {
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
        self
    }

    fn entry(self, name: &str, kind: u8, data: &[u8]) -> Self {
        let header = self.header(name.as_bytes(), kind, data.len() as u64, b"");
        header.data(data)
    }

    fn file(self, name: &str, data: &[u8]) -> Self {
        self.entry(name, b'0', data)
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 2 * BLOCK]);
        self.0
    }
}

type Read1 = (String, EntryKind, Vec<u8>);

fn read_capped(layer: &[u8], cap: u64) -> Result<Vec<Read1>, LayerError> {
    let mut reader = LayerReader::new(layer, cap)?;
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let mut content = Vec::new();
        if let Err(error) = reader.read_to_end(&mut content) {
            return Err(reader.failed(error));
        }
        entries.push((entry.path.as_str().to_owned(), entry.kind, content));
    }
    Ok(entries)
}

fn read(layer: &[u8]) -> Result<Vec<Read1>, LayerError> {
    read_capped(layer, 1 << 20)
}

fn why(layer: &[u8]) -> String {
    let error = read(layer).unwrap_err();
    match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn file(path: &str, content: &[u8]) -> Read1 {
    let size = content.len() as u64;
    (path.to_owned(), EntryKind::File { size }, content.to_vec())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn every_compression_gives_the_same_entries() {
    let plain = Hostile::default()
        .entry("./", b'5', b"")
        .entry("./a/", b'5', b"")
        .file("./a/b", b"content")
        .file("/c", &[7; 1500])
        .end();
    let expected = [
        ("a".to_owned(), EntryKind::Directory, Vec::new()),
        file("a/b", b"content"),
        file("c", &[7; 1500]),
    ];
    assert_eq!(read(&plain).unwrap(), expected);
    assert_eq!(read(&gzip(&plain)).unwrap(), expected);
    let (first, second) = plain.split_at(1000);
    let members = [gzip(first), gzip(second)].concat();
    assert_eq!(read(&members).unwrap(), expected);
    let zstd = ::zstd::encode_all(Cursor::new(&plain), 3).unwrap();
    assert_eq!(read(&zstd).unwrap(), expected);
    let frames = [
        b"\x50\x2a\x4d\x18\x03\0\0\0xyz".to_vec(),
        ::zstd::encode_all(first, 3).unwrap(),
        ::zstd::encode_all(second, 3).unwrap(),
    ];
    assert_eq!(read(&frames.concat()).unwrap(), expected);
    // A tar without zero blocks at the end, and without padding, is accepted.
    let bare = Hostile::default().file("a", b"x").0;
    assert_eq!(read(&bare[..BLOCK + 1]).unwrap(), [file("a", b"x")]);
    assert_eq!(read(b"").unwrap(), []);
}

#[test]
fn kinds() {
    let layer = Hostile::default()
        .header(b"link", b'2', 0, b"../x")
        // Sizes of links are ignored.
        .header(b"hard", b'1', 99, b"./a//b")
        .entry("d/.wh.gone", b'0', b"")
        .entry("d/.wh..wh..opq", b'0', b"")
        .entry(".wh..wh.plnk", b'5', b"")
        .header(b"pipe", b'6', 0, b"")
        .entry("old/", b'\0', b"")
        .entry("sparse", b'S', b"data")
        .header(b"\xff\xfe", b'0', 0, b"")
        .header(b"nolink", b'2', 0, b"")
        .end();
    let found: Vec<_> = read(&layer)
        .unwrap()
        .into_iter()
        .map(|(path, kind, _)| (path, kind))
        .collect();
    let is = |path: &str, kind| (path.to_owned(), kind);
    let (target, hard) = ("../x".to_owned(), "a/b".parse().unwrap());
    assert_eq!(
        found,
        [
            is("link", EntryKind::Symlink { target }),
            is("hard", EntryKind::HardLink { target: hard }),
            is("d/gone", EntryKind::Whiteout),
            is("d", EntryKind::Opaque),
            is("pipe", EntryKind::Other),
            is("old", EntryKind::Directory),
            is("sparse", EntryKind::Other),
            is("nolink", EntryKind::Other),
        ]
    );
    let mut reader = LayerReader::new(layer.as_slice(), 1 << 20).unwrap();
    assert_eq!(reader.next_entry().unwrap().unwrap().mode, 0o4755);
}

#[test]
fn long_names() {
    let long = "d/".repeat(200) + "x";
    let record = |key: &str, value: &str| {
        // Three digits are enough here.
        format!("{:03} {key}={value}\n", key.len() + value.len() + 6)
    };
    let pax = record("path", &long) + &record("size", "3") + &record("mtime", "1.5");
    let layer = Hostile::default()
        .entry("g", b'g', record("path", "global").as_bytes())
        .entry("x", b'x', pax.as_bytes())
        .header(b"short", b'0', 0, b"")
        .data(b"abc")
        .entry("L", b'L', format!("{long}2\0").as_bytes())
        .entry("K", b'K', format!("{long}\0").as_bytes())
        .header(b"short", b'2', 0, b"short")
        .entry("x", b'x', record("GNU.sparse.major", "1").as_bytes())
        .file("sparse", b"data")
        .file("plain", b"")
        .end();
    let found = read(&layer).unwrap();
    let target = long.clone();
    assert_eq!(
        found,
        [
            file(&long, b"abc"),
            (
                format!("{long}2"),
                EntryKind::Symlink { target },
                Vec::new()
            ),
            ("sparse".to_owned(), EntryKind::Other, b"data".to_vec()),
            file("plain", b""),
        ]
    );
}

#[test]
fn links_lead_no_further_than_a_path_is_long() {
    for (length, readable) in [(MAX_PATH, true), (MAX_PATH + 1, false), (1 << 20, false)] {
        // Written as GNU tar does; a pax record may not be longer.
        let target = "t".repeat(length.min((1 << 20) - 1));
        let layer = Hostile::default()
            .entry("K", b'K', format!("{target}\0").as_bytes())
            .header(b"link", b'2', 0, b"")
            .end();
        match readable {
            true => assert_eq!(read_capped(&layer, 4 << 20).unwrap().len(), 1),
            false => {
                let said = read_capped(&layer, 4 << 20).unwrap_err();
                assert!(
                    matches!(said, LayerError::Path { ref entry, source: PathError::TooLong } if entry == "link"),
                    "{said}"
                );
            }
        }
    }
}

#[test]
fn hostile_tars_are_refused() {
    let tar = Hostile::default;
    let broken = "The layer's tar is broken: ";
    let mut wrong_sum = tar().file("a", b"").end();
    wrong_sum[0] = b'b';
    assert_eq!(
        why(&wrong_sum),
        format!("{broken}a header's checksum is wrong")
    );
    assert!(why(b"{\"no\": \"tar\"}").starts_with("The layer's tar ends too early"));
    for name in ["../a", "a/../../b", "/.."] {
        let said = why(&tar().file(name, b"").end());
        let expected = format!(
            "The layer's entry `{name}` has an invalid path: The path has a component `..`"
        );
        assert_eq!(said, expected);
    }
    let said = why(&tar().header(b"hard", b'1', 0, b"../../etc/shadow").end());
    assert!(said.contains("`../../etc/shadow`"), "{said}");
    for name in [".wh.", ".wh..", ".wh..."] {
        let said = why(&tar().file(name, b"").end());
        assert_eq!(said, format!("{broken}a whiteout names nothing"), "{name}");
    }
    let said = why(&tar().file(".wh..wh..opq", b"").end());
    assert!(said.contains("opaque"), "{said}");
    let cut = tar().file("a", &[1; 600]).end();
    assert_eq!(why(&cut[..1000]), "The layer's tar ends too early");
    assert_eq!(why(&cut[..100]), "The layer's tar ends too early");
    assert!(
        why(&gzip(&cut)[..30]).starts_with("The layer cannot be read: "),
        "a cut gzip stream"
    );
    // A name of 8 GiB is neither read nor allocated.
    let name = tar().header(b"L", b'L', 8 << 30, b"").0;
    assert_eq!(
        why(&name),
        format!("{broken}an extended header is too long")
    );
    let mut endless = tar();
    for _ in 0..=MAX_EXTENSIONS {
        endless = endless.entry("L", b'L', b"x");
    }
    let said = why(&endless.file("a", b"").end());
    assert_eq!(
        said,
        format!("{broken}an entry has too many extended headers")
    );
    for records in [
        "x",
        "5 path=a\n",
        "99 path=a\n",
        "0 path=a\n",
        "9 path=a.",
        "9 pathxa\n",
        "10 size=x\n",
        "9999999999999999999999 a=b\n",
    ] {
        let said = why(&tar().entry("x", b'x', records.as_bytes()).end());
        assert_eq!(said, format!("{broken}an extended header is broken"));
    }
}

#[test]
fn bombs_are_capped() {
    let bomb = gzip(&Hostile::default().file("zero", &[0; 100_000]).end());
    assert!(bomb.len() < 2000);
    assert!(read_capped(&bomb, 200_000).is_ok());
    let error = read_capped(&bomb, 50_000).unwrap_err();
    assert!(
        matches!(error, LayerError::TooLarge { cap: 50_000 }),
        "{error}"
    );
    // The limit also holds while skipping.
    let mut reader = LayerReader::new(bomb.as_slice(), 50_000).unwrap();
    assert!(reader.next_entry().unwrap().is_some());
    let error = reader.next_entry().unwrap_err();
    assert!(
        matches!(error, LayerError::TooLarge { cap: 50_000 }),
        "{error}"
    );
}

mod trees {
    use super::super::*;

    fn entry(text: &str) -> LayerEntry {
        let kind = if text.ends_with('/') {
            EntryKind::Directory
        } else if let Some((_, target)) = text.split_once("->") {
            let target = target.to_owned();
            EntryKind::Symlink { target }
        } else if text.ends_with("!opaque") {
            EntryKind::Opaque
        } else if text.ends_with("!gone") {
            EntryKind::Whiteout
        } else {
            EntryKind::File { size: 0 }
        };
        let path = text.split("->").next().unwrap();
        let path = path.split('!').next().unwrap();
        LayerEntry {
            path: path.parse().unwrap(),
            kind,
            mode: 0,
        }
    }

    /// The visible entries of layers given from the top down.
    fn visible(layers: &[&[&str]]) -> Vec<String> {
        let mut tree = Tree::new(1 << 20);
        let mut found = Vec::new();
        for (layer, entries) in layers.iter().enumerate() {
            for text in *entries {
                if tree.add(layer, &entry(text)).unwrap() == Visibility::Visible {
                    found.push(format!("{layer}:{text}"));
                }
            }
        }
        found
    }

    #[test]
    fn upper_layers_hide() {
        for (name, layers, expected) in [
            (
                "the upper file wins",
                &[&["a", "d/x"][..], &["a", "b", "d/x", "d/y"]][..],
                &["0:a", "0:d/x", "1:b", "1:d/y"][..],
            ),
            (
                "a whiteout hides a file, and all below a directory",
                &[&["d/a!gone", "e!gone"], &["d/a", "d/ab", "e/x", "e"]],
                &["1:d/ab"],
            ),
            (
                "a whiteout does not hide its own layer, in either order",
                &[&["a!gone", "a", "b/x", "b!gone"], &["a", "b/y"]],
                &["0:a", "0:b/x"],
            ),
            (
                "an opaque directory hides all that is below it in lower layers",
                &[&["d/new", "d!opaque"], &["d/old", "d/e/old", "dx"]],
                &["0:d/new", "1:dx"],
            ),
            (
                "a file hides a directory, a link does too",
                &[&["d", "l->x"], &["d/x", "l/x", "l/"]],
                &["0:d", "0:l->x"],
            ),
            (
                "a directory hides a file, which hides what is below",
                &[&["d/new"], &["d"], &["d/old"]],
                &["0:d/new"],
            ),
            (
                "hidden entries hide too",
                &[&["d/"], &["d->x"], &["d/old"]],
                &["0:d/"],
            ),
            (
                "a whiteout that is hidden itself hides nothing more",
                &[&["d/a"], &["d/a!gone"], &["d/a", "d/b"]],
                &["0:d/a", "2:d/b"],
            ),
        ] {
            assert_eq!(visible(layers), expected, "{name}");
        }
    }

    #[test]
    fn settled_paths_and_contradictions() {
        let mut tree = Tree::new(1 << 20);
        let path = |text: &str| text.parse::<ImagePath>().unwrap();
        for text in ["f", "gone!gone", "o!opaque", "d/x", "l->d"] {
            tree.add(0, &entry(text)).unwrap();
        }
        for settled in ["f", "gone", "gone/a", "o", "o/x", "d/x", "l", "l/x"] {
            assert!(tree.is_final(&path(settled)), "{settled}");
        }
        for open in ["d", "d/y", "other"] {
            assert!(!tree.is_final(&path(open)), "{open}");
        }
        for text in ["f", "f/", "l/x", "d"] {
            let seen = tree.add(0, &entry(text)).unwrap();
            assert_eq!(seen, Visibility::Contradictory, "{text}");
        }
        assert_eq!(tree.add(0, &entry("d2/")).unwrap(), Visibility::Visible);
        assert_eq!(tree.add(0, &entry("d2/")).unwrap(), Visibility::Hidden);
        let link = TreeNode::Symlink("d".to_owned());
        assert_eq!(tree.get("l"), Some((0, &link)));
        assert_eq!(tree.get("gone"), None);
        let below: Vec<_> = tree.below(&path("d")).map(|(path, ..)| path).collect();
        assert_eq!(below, ["d/x"]);
    }

    #[test]
    fn targets_of_links_are_capped_too() {
        let long = "t".repeat(900);
        for kind in [
            EntryKind::Symlink {
                target: long.clone(),
            },
            EntryKind::HardLink {
                target: long.parse().unwrap(),
            },
        ] {
            let mut tree = Tree::new(1000);
            let link = LayerEntry {
                kind,
                ..entry("link")
            };
            assert_eq!(tree.add(0, &link), Err(TreeFull { cap: 1000 }));
        }
    }

    #[test]
    fn names_are_capped() {
        let mut tree = Tree::new(1000);
        let mut names = (0..).map(|n| entry(&format!("file-{n}")));
        let full = names.find_map(|entry| tree.add(0, &entry).err());
        assert_eq!(full, Some(TreeFull { cap: 1000 }));
    }
}
