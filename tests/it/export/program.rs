//! `--with-program`: a program beside the bundle, for an importing side that has none.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::site::{Site, assert_same, files, reads};
use crate::support::command::{Airferry, Outcome};
use crate::support::fake_registry::Reply;
use crate::support::images::{Build, Image, digest_of};
use crate::support::media::{FileSystem, MIB, Medium};
use crate::support::tools;

fn image() -> Image {
    Build::oci("app").plain_layer(10_000).image()
}

/// Links a program against a new library named `soname`; the program needs one symbol of each of
/// the versions. Returns its file name in the account's home.
fn link(site: &Site, name: &str, soname: &str, versions: &[&str]) -> String {
    let directory = site.path(&format!("{name}-sources"));
    fs::create_dir(&directory).unwrap();
    let (mut library, mut map, mut calls) = (String::new(), String::new(), String::new());
    for (number, version) in versions.iter().enumerate() {
        library += &format!("void f{number}(void) {{}}\n");
        map += &format!("{version} {{ global: f{number}; }};\n");
        calls += &format!("void f{number}(void); ");
    }
    let bodies: String = (0..versions.len()).map(|n| format!("f{n}();")).collect();
    fs::write(directory.join("library.c"), library).unwrap();
    fs::write(directory.join("versions.map"), map).unwrap();
    let main = format!("{calls}\nvoid _start(void) {{ {bodies} }}\n");
    fs::write(directory.join("main.c"), main).unwrap();
    let compile = |args: &[&str]| {
        let mut command = Command::new(tools::require("cc"));
        command.current_dir(&directory).arg("-nostdlib");
        tools::run(command.args(args));
    };
    let soname = format!("-Wl,-soname,{soname}");
    let shared = ["-shared", "-fPIC", "-Wl,--version-script=versions.map"];
    compile(&[&shared[..], &[&soname, "library.c", "-o", "library.so"]].concat());
    compile(&["main.c", "library.so", "-o", "../program"]);
    fs::rename(site.path("program"), site.path(name)).unwrap();
    name.to_owned()
}

/// Links a program that glibc 2.17 starts.
fn old(site: &Site) -> String {
    link(site, "old", "libc.so.6", &["GLIBC_2.2.5", "GLIBC_2.17"])
}

/// Links a program that needs no library.
fn linked_statically(site: &Site) -> String {
    fs::write(site.path("main.c"), "void _start(void) {}\n").unwrap();
    let mut command = Command::new(tools::require("cc"));
    command.current_dir(site.path("."));
    tools::run(command.args(["-nostdlib", "-static", "main.c", "-o", "static"]));
    "static".to_owned()
}

/// Returns the program's path beside a bundle.
fn beside(bundle: &Path) -> PathBuf {
    bundle.with_file_name("airferry-program").join("airferry")
}

/// Returns the names in a directory, sorted.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Returns the SHA-256 that a run printed in groups of 4 digits.
fn spoken(outcome: &Outcome) -> String {
    let lines = outcome.stdout.lines();
    let groups = lines.skip_while(|line| !line.contains("SHA-256")).skip(1);
    let groups: Vec<&str> = groups.take(4).flat_map(str::split_whitespace).collect();
    assert!(groups.iter().all(|group| group.len() == 4), "{outcome}");
    format!("sha256:{}", groups.concat())
}

#[test]
fn a_program_is_copied_beside_the_bundle_once() {
    let site = Site::new();
    let image = site.put("app", "v1", &image());
    let (plain, to) = (site.path("plain/bundle"), site.path("stick/bundle"));
    site.export(&plain, &[&image]).succeeds();
    let program = old(&site);
    let args = [&*image, "--with-program", &program];
    let bytes = fs::read(site.path(&program)).unwrap();

    let planned = site.export_json(&to, &[&args[..], &["--dry-run"]].concat(), 0);
    assert_eq!(planned["program"]["state"], "planned");
    assert!(!site.path("stick").exists(), "a dry run writes nothing");

    let told = site.export(&to, &args).succeeds();
    told.stdout_has("program copied to")
        .stdout_has("glibc 2.17 or later")
        .stdout_has("noexec");
    assert_eq!(spoken(&told), digest_of(&bytes));
    // Nothing else is on the medium: no checksum, no temporary file, nothing new in the bundle.
    assert_eq!(names(&site.path("stick")), ["airferry-program", "bundle"]);
    assert_eq!(names(&site.path("stick/airferry-program")), ["airferry"]);
    assert_same(&plain, &to);
    assert!(fs::read(beside(&to)).unwrap() == bytes);
    let mode = fs::metadata(beside(&to)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
    site.verify(&to, &["--strict"]).succeeds();

    let again = site.export_json(&to, &args, 0);
    assert_eq!(again["state"], "already-complete");
    let copy = &again["program"];
    assert_eq!(copy["state"], "already-there");
    assert_eq!(copy["path"], beside(&to).to_str().unwrap());
    assert_eq!(copy["sha256"], digest_of(&bytes));
    assert_eq!(copy["length"], bytes.len());
    assert_eq!(copy["glibc"], "2.17");
    assert_eq!(copy["processor"], std::env::consts::ARCH);
    // Without the option, the result does not mention a program.
    assert_eq!(site.export_json(&to, &[&image], 0)["program"], Value::Null);
}

#[test]
fn another_program_is_never_overwritten() {
    let site = Site::new();
    let content = image();
    let image = site.put("app", "v1", &content);
    let to = site.path("stick/bundle");
    let (old, other) = (old(&site), linked_statically(&site));
    site.export(&to, &[&image, "--with-program", &old])
        .succeeds();
    let june = site.path("stick/june");
    let args = [&*image, "--with-program", &other];
    for args in [&args[..], &[&args[..], &["--dry-run"]].concat()] {
        let refused = site.export(&june, args).fails_with(2);
        refused
            .stderr_has("Another program is at")
            .stderr_has(&format!("rm '{}'", beside(&to).display()));
    }
    assert!(!june.exists(), "it is refused before anything is written");
    let expected = fs::read(site.path(&old)).unwrap();
    assert!(fs::read(beside(&to)).unwrap() == expected);
    fs::remove_file(beside(&to)).unwrap();
    let done = site.export_json(&june, &args, 0);
    assert_eq!(done["program"]["state"], "copied");
    assert_eq!(done["program"]["glibc"], Value::Null);

    // Another program appears while the export runs.
    let july = site.path("other stick/july");
    let (digest, place) = (content.blobs[1].digest(), beside(&july));
    site.fault(move |asked| {
        if reads(asked, &digest) {
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(&place, "other").unwrap();
        }
        None
    });
    site.export(&july, &args)
        .fails_with(2)
        .stderr_has("Another program is at")
        .stderr_has("the bundle itself is sealed");
    assert_eq!(fs::read(beside(&july)).unwrap(), b"other");
    site.verify(&july, &["--strict"]).succeeds();
}

/// The program under test is built for this machine, whose glibc is newer than 2.17.
#[test]
fn a_program_that_needs_a_newer_glibc_is_refused_without_the_option() {
    let site = Site::new();
    let image = site.put("app", "v1", &image());
    let to = site.path("stick/bundle");
    let newer = link(&site, "newer", "libc.so.6", &["GLIBC_2.17", "GLIBC_2.18"]);
    let marked = link(&site, "marked", "libc.so.6", &["GLIBC_ABI_DT_RELR"]);
    let other = link(&site, "other", "libfoo.so.1", &["FOO_1"]);
    for (program, why) in [
        (&*newer, "GLIBC_2.18"),
        (&marked, "GLIBC_ABI_DT_RELR"),
        (&other, "libfoo.so.1"),
    ] {
        let refused = site.export(&to, &[&image, "--with-program", program]);
        refused
            .fails_with(2)
            .stderr_has(why)
            .stderr_has("scripts/package")
            .stderr_has("--with-program-as-is");
    }
    // Without a file, the running program is copied. The option comes last: no word may follow it.
    let own = site.export(&to, &[&image, "--with-program"]).fails_with(2);
    own.stderr_has("symbol version GLIBC_2.");
    assert!(!site.path("stick").exists(), "nothing was written");

    let as_is = ["--with-program", "--with-program-as-is"];
    let told = site.export(&to, &[&[&*image], &as_is[..]].concat());
    let told = told.succeeds();
    assert!(!told.stderr.contains("does not look like"), "{told}");
    let program = fs::read(Airferry::program()).unwrap();
    assert!(fs::read(beside(&to)).unwrap() == program);
    assert_eq!(spoken(&told), digest_of(&program));
    let version = Command::new(beside(&to)).arg("--version").output().unwrap();
    assert!(version.stdout.starts_with(b"airferry "), "{version:?}");
}

#[test]
fn a_file_that_is_not_a_program_is_refused() {
    let site = Site::new();
    let image = site.put("app", "v1", &image());
    let to = site.path("stick/bundle");
    let library = {
        old(&site);
        "old-sources/library.so"
    };
    fs::write(site.path("script"), "#!/bin/sh\nexec airferry \"$@\"\n").unwrap();
    for (file, why) in [(library, "a library"), ("script", "not an ELF file")] {
        let as_is = ["--with-program-as-is", "--with-program", file];
        let refused = site.export(&to, &[&[&*image], &as_is[..]].concat());
        refused
            .fails_with(2)
            .stderr_has("is not a program for 64-bit Linux")
            .stderr_has(why);
    }
    // A reference after the option is parsed as its file.
    site.export(&to, &["--with-program", &image])
        .fails_with(2)
        .stderr_has("--with-program last");
    site.export(&to, &[&image, "--with-program-as-is"])
        .fails_with(2)
        .stderr_has("--with-program");
    assert!(!site.path("stick").exists(), "nothing was written");

    let other = linked_statically(&site);
    site.export(&to, &[&image, "--with-program", &other])
        .succeeds()
        .stdout_has("any Linux")
        .stderr_has("does not look like airferry");
}

#[test]
fn only_the_directory_of_the_program_is_written_to() {
    let site = Site::new();
    let image = site.put("app", "v1", &image());
    let program = old(&site);
    let args = [&*image, "--with-program", &program];
    let to = site.path("stick/bundle");

    // A bundle with that name, and an export to that name.
    let taken = site.path("stick/airferry-program");
    site.export(&taken, &[&image]).succeeds();
    let before = files(&taken);
    site.export(&to, &args)
        .fails_with(2)
        .stderr_has("is a bundle");
    site.export(&site.path("stick/Airferry-Program"), &args)
        .fails_with(2)
        .stderr_has("another name");
    assert!(files(&taken) == before);
    fs::remove_dir_all(&taken).unwrap();

    // A link, or a file, at the directory's path.
    let elsewhere = site.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, &taken).unwrap();
    site.export(&to, &args).fails_with(8);
    fs::remove_file(&taken).unwrap();
    fs::write(&taken, "mine").unwrap();
    site.export(&to, &args).fails_with(8);
    assert_eq!(names(&elsewhere), [""; 0]);
    assert_eq!(names(&site.path("stick")), ["airferry-program"]);
    fs::remove_file(&taken).unwrap();

    // A link at the program's path.
    fs::create_dir(&taken).unwrap();
    symlink(elsewhere.join("victim"), taken.join("airferry")).unwrap();
    site.export(&to, &args)
        .fails_with(8)
        .stderr_has("not a regular file");
    assert_eq!(names(&elsewhere), [""; 0]);
}

#[test]
fn an_interrupted_export_copies_the_program_when_it_ends() {
    let site = Site::new();
    let image = image();
    let reference = site.put("app", "v1", &image);
    let program = old(&site);
    let args = [&*reference, "--with-program", &program, "--retries", "0"];
    let to = site.path("stick/bundle");
    let digest = image.blobs[1].digest();
    site.fault(move |asked| reads(asked, &digest).then(Reply::hang_up));
    site.export(&to, &args).fails_with(6);
    site.heal();
    let done = site.export_json(&to, &args, 0);
    assert_eq!(done["program"]["state"], "copied");
    assert!(beside(&to).exists());
    // The temporary file of a killed run is replaced.
    fs::rename(beside(&to), beside(&to).with_extension("tmp")).unwrap();
    site.export(&to, &args).succeeds();
    assert_eq!(names(beside(&to).parent().unwrap()), ["airferry"]);
}

#[test]
fn a_program_is_copied_to_every_file_system_of_sticks() {
    let site = Site::new();
    let image = site.put("app", "v1", &image());
    let program = old(&site);
    let args = [&*image, "--with-program", &program];
    let bytes = fs::read(site.path(&program)).unwrap();
    for kind in FileSystem::ALL {
        let Some(mut stick) = Medium::fresh(kind, 48 * MIB) else {
            return;
        };
        let to = stick.path().join("okd");
        // The parent of a stick's top directory is on the disk of this machine.
        let top = site.export(&stick.path(), &args).fails_with(2);
        top.stderr_has("export into a directory on the medium");
        assert!(!beside(&stick.path()).exists(), "{kind:?}");
        site.export(&to, &args).succeeds();
        stick.insert_read_only();
        assert!(fs::read(beside(&to)).unwrap() == bytes, "{kind:?}");
        site.verify(&to, &["--strict"]).succeeds();
        let again = site.export_json(&to, &args, 0);
        assert_eq!(again["program"]["state"], "already-there", "{kind:?}");
        stick.assert_sound();
    }
}

#[test]
fn a_program_counts_in_the_space_that_is_needed() {
    let site = Site::new();
    let image = site.put("app", "v1", &image());
    let program = linked_statically(&site);
    let mut bytes = fs::read(site.path(&program)).unwrap();
    bytes.resize(64 * MIB as usize, 0);
    fs::write(site.path(&program), bytes).unwrap();
    let Some(stick) = Medium::exfat(48 * MIB) else {
        return;
    };
    let to = stick.path().join("okd");
    let args = [&*image, "--with-program", &program];
    let from = site.asked().len();
    for args in [&args[..], &[&args[..], &["--dry-run"]].concat()] {
        let refused = site.export(&to, args).fails_with(8);
        refused.stderr_has("needed (");
    }
    assert_eq!(site.blob_bytes_asked(from), 0);
    site.export(&to, &[&image]).succeeds();
}
