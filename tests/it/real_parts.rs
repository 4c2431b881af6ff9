//! Tests of the real parts that other tests use: that they work on this machine, and how they
//! differ from a disk or a network.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with, statfs};
use rustix::io::Errno;

use crate::support::command::{Airferry, Outcome};
use crate::support::media::{FileSystem, MIB, Medium};
use crate::support::netns::Namespace;

/// `f_type` of every file system that goes through FUSE (linux/magic.h, FUSE_SUPER_MAGIC).
const FUSE: u64 = 0x6573_5546;

#[test]
fn media_keep_what_was_synced() {
    for kind in FileSystem::ALL {
        let Some(mut medium) = Medium::fresh(kind, 64 * MIB) else {
            return;
        };
        let content: Vec<u8> = (0..3 * MIB).map(|n| (n % 251) as u8).collect();
        let chunks = medium.path().join("chunks");
        fs::create_dir(&chunks).unwrap();
        let mut file = File::create(chunks.join("000001.tar")).unwrap();
        file.write_all(&content).unwrap();
        file.sync_all().unwrap();
        drop(file);
        File::open(&chunks).unwrap().sync_all().unwrap();

        medium.insert_read_only();
        assert_eq!(
            fs::read(chunks.join("000001.tar")).unwrap(),
            content,
            "{kind:?}"
        );
        let refused = File::create(medium.path().join("x")).unwrap_err();
        assert_eq!(
            refused.kind(),
            std::io::ErrorKind::ReadOnlyFilesystem,
            "{kind:?}"
        );

        medium.insert();
        fs::remove_file(chunks.join("000001.tar")).unwrap();
        assert_eq!(fs::read_dir(&chunks).unwrap().count(), 0, "{kind:?}");
        medium.assert_sound();
    }
}

/// Operations that bundles need on any medium: replacing renames, locks, appending.
#[test]
fn media_do_what_bundles_need() {
    for kind in FileSystem::ALL {
        let Some(medium) = Medium::fresh(kind, 64 * MIB) else {
            return;
        };
        let at = |name: &str| medium.path().join(name);
        fs::write(at("new"), "new").unwrap();
        fs::write(at("old"), "old").unwrap();
        fs::rename(at("new"), at("old")).unwrap();
        assert_eq!(fs::read_to_string(at("old")).unwrap(), "new", "{kind:?}");
        assert!(!at("new").exists(), "{kind:?}");

        for name in ["old", "."] {
            let first = File::open(at(name)).unwrap();
            let second = File::open(at(name)).unwrap();
            flock(&first, FlockOperation::NonBlockingLockExclusive).unwrap();
            let refused = flock(&second, FlockOperation::NonBlockingLockExclusive);
            assert_eq!(refused, Err(Errno::WOULDBLOCK), "{kind:?} {name}");
        }

        let mut journal = OpenOptions::new()
            .create(true)
            .append(true)
            .open(at("journal"))
            .unwrap();
        for _ in 0..3 {
            journal.write_all(b"line\n").unwrap();
            journal.sync_data().unwrap();
        }
        drop(journal);
        assert_eq!(
            fs::read_to_string(at("journal")).unwrap(),
            "line\nline\nline\n",
            "{kind:?}"
        );
    }
}

/// All drivers but that of FAT32 can shorten a file; see `support::media`.
#[test]
fn media_let_a_file_be_shortened() {
    for kind in [FileSystem::Exfat, FileSystem::Ntfs, FileSystem::Ext4] {
        let Some(mut medium) = Medium::fresh(kind, 64 * MIB) else {
            return;
        };
        let path = medium.path().join("journal");
        fs::write(&path, vec![b'a'; MIB as usize]).unwrap();
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.set_len(4096).unwrap();
        file.write_all(b"tail").unwrap();
        drop(file);
        medium.insert_read_only();
        let found = fs::read(&path).unwrap();
        assert!(found == [&[b'a'; 4096][..], b"tail"].concat(), "{kind:?}");
        medium.assert_sound();
    }
}

/// An interrupted chunk is continued in place, without cutting it first.
#[test]
fn media_let_a_file_be_overwritten_from_the_middle() {
    let cut = 2 * MIB as usize;
    let old = vec![1; 3 * MIB as usize];
    let tail = vec![2; 4 * MIB as usize];
    for kind in FileSystem::ALL {
        let Some(mut medium) = Medium::fresh(kind, 64 * MIB) else {
            return;
        };
        let path = medium.path().join("chunk");
        fs::write(&path, &old).unwrap();
        medium.insert();
        let mut file = OpenOptions::new().write(true).open(&path).unwrap();
        file.seek(SeekFrom::Start(cut as u64)).unwrap();
        file.write_all(&tail).unwrap();
        file.sync_all().unwrap();
        drop(file);
        medium.insert_read_only();
        let found = fs::read(&path).unwrap();
        assert!(found == [&old[..cut], &tail].concat(), "{kind:?}");
        medium.assert_sound();
    }
}

/// The ways in which the drivers differ from a disk, for tests that depend on one of them.
#[test]
fn media_differ_as_documented() {
    for kind in FileSystem::ALL {
        let Some(medium) = Medium::fresh(kind, 64 * MIB) else {
            return;
        };
        let at = |name: &str| medium.path().join(name);
        let (mount_type, magic) = match kind {
            FileSystem::Exfat | FileSystem::Ntfs => ("fuseblk", FUSE),
            FileSystem::Fat32 => ("fuse.fusefat", FUSE),
            FileSystem::Ext4 => ("ext4", 0xef53),
        };
        assert_eq!(medium.mount_type().as_deref(), Some(mount_type));
        let about = statfs(medium.path()).unwrap();
        assert_eq!(about.f_type as u64, magic, "{kind:?}");
        let free = about.f_bavail * about.f_bsize as u64;
        assert_eq!(
            free == 0,
            kind == FileSystem::Fat32,
            "{kind:?}: {free} bytes free"
        );

        fs::write(at("a"), "a").unwrap();
        let exclusive = renameat_with(CWD, at("a"), CWD, at("b"), RenameFlags::NOREPLACE);
        let longer = File::create(at("c")).unwrap().set_len(MIB);
        let linked = std::os::unix::fs::symlink("c", at("link"));
        let colon = File::create(at("sha256:00"));
        let case = File::create(at("CASE")).and_then(|_| File::open(at("case")));
        let found = [
            exclusive.is_ok(),
            longer.is_ok(),
            linked.is_ok(),
            colon.is_ok(),
            case.is_err(),
        ];
        let expected = match kind {
            FileSystem::Exfat => [false, true, false, false, false],
            FileSystem::Fat32 => [false, false, false, false, false],
            FileSystem::Ntfs => [false, true, true, true, true],
            FileSystem::Ext4 => [true, true, true, true, true],
        };
        assert_eq!(
            found, expected,
            "{kind:?}: RENAME_NOREPLACE, growing, symbolic links, colons, upper and lower case"
        );
    }
}

#[test]
fn a_full_medium_says_so() {
    for kind in FileSystem::ALL {
        let Some(medium) = Medium::fresh(kind, 40 * MIB) else {
            return;
        };
        let left = medium.fill_leaving(MIB);
        assert_eq!(left, MIB, "{kind:?}");
        let mut file = File::create(medium.path().join("x")).unwrap();
        let failed = file.write_all(&vec![1; 8 * MIB as usize]).unwrap_err();
        let expected = match kind {
            // fusefat has only this error.
            FileSystem::Fat32 => Errno::PERM,
            _ => Errno::NOSPC,
        };
        assert_eq!(
            failed.raw_os_error(),
            Some(expected.raw_os_error()),
            "{kind:?}"
        );
    }
}

#[test]
fn a_pulled_medium_fails_every_call() {
    for kind in FileSystem::REMOVABLE {
        let Some(mut medium) = Medium::fresh(kind, 40 * MIB) else {
            return;
        };
        let mut file = File::create(medium.path().join("x")).unwrap();
        file.write_all(b"before").unwrap();
        medium.pull();
        let gone = Some(Errno::NOTCONN.raw_os_error());
        assert_eq!(
            file.sync_all().unwrap_err().raw_os_error(),
            gone,
            "{kind:?}"
        );
        let open = File::open(medium.path().join("x")).unwrap_err();
        assert_eq!(open.raw_os_error(), gone, "{kind:?}");
        drop(file);
        medium.insert();
        File::create(medium.path().join("y")).unwrap();
    }
}

#[test]
fn a_panic_takes_the_medium_out() {
    let Some(medium) = Medium::exfat(16 * MIB) else {
        return;
    };
    let path = medium.path();
    let loops = || {
        fs::read_dir("/sys/block").unwrap().filter_map(|entry| {
            let backing = entry.unwrap().path().join("loop/backing_file");
            fs::read_to_string(backing).ok()
        })
    };
    let image = medium.image();
    let is_image = |backing: String| Path::new(backing.trim()) == image;
    assert!(loops().any(is_image));
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let _medium = medium;
        std::panic::resume_unwind(Box::new("a failed test"));
    }));
    assert!(caught.is_err());
    assert!(!path.exists());
    let is_image = |backing: String| Path::new(backing.trim()) == image;
    assert!(!loops().any(is_image), "the loop device is still there");
}

#[test]
fn a_namespace_reaches_one_address() {
    let (Some(linked), Some(isolated)) = (Namespace::linked(), Namespace::isolated()) else {
        return;
    };
    let airferry = Airferry::new();
    let there = TcpListener::bind((linked.host(), 0)).unwrap();
    let local = TcpListener::bind("127.0.0.1:0").unwrap();
    let connect = |address: std::net::SocketAddr| {
        let script = "exec 3<>/dev/tcp/$0/$1 && cat <&3";
        let mut command = Command::new("bash");
        let port = address.port().to_string();
        command.args(["-c", script, &address.ip().to_string(), &port]);
        airferry.wrap(command)
    };
    let to_there = connect(there.local_addr().unwrap());
    let answer = std::thread::spawn(move || {
        let (mut stream, peer) = there.accept().unwrap();
        stream.write_all(b"hello").unwrap();
        let mut rest = Vec::new();
        drop(stream.shutdown(std::net::Shutdown::Write));
        drop(stream.read_to_end(&mut rest));
        peer
    });
    let reached = Outcome::of(linked.enter(&to_there)).succeeds();
    reached.stdout_is("hello");
    answer.join().unwrap();

    let elsewhere = connect("198.51.100.1:80".parse().unwrap());
    let to_local = connect(local.local_addr().unwrap());
    for (call, refused) in [
        (linked.enter(&elsewhere), "Network is unreachable"),
        (linked.enter(&to_local), "Connection refused"),
        (isolated.enter(&to_there), "Network is unreachable"),
    ] {
        Outcome::of(call).fails_with(1).stderr_has(refused);
    }
}

#[test]
fn nothing_is_inherited_from_whoever_runs_the_tests() {
    let airferry = Airferry::new();
    let outcome = Outcome::of(airferry.wrap(Command::new("env"))).succeeds();
    for line in outcome.stdout.lines() {
        let name = line.split('=').next().unwrap();
        let ours = ["PATH", "HOME", "LANG", "TZ", "RUST_BACKTRACE", "PWD"];
        assert!(ours.contains(&name) || name.starts_with("XDG_"), "{line}");
    }
}
