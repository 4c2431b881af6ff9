//! Both sides of the gap, for whole runs of the program: a source registry, the exporter's account
//! with a key, the importer's account with the public half, and a directory for bundles.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::command::{Airferry, Outcome};
use super::docker_registry::DockerRegistry;
use super::images::{Image, publish};

/// Both sides of the gap.
pub struct Stage {
    pub exporter: Airferry,
    pub importer: Airferry,
    pub source: DockerRegistry,
    bundles: TempDir,
}

impl Stage {
    /// Generates the key, copies its public half to the importer, and starts an empty source
    /// registry.
    #[track_caller]
    pub fn new() -> Self {
        let stage = Self {
            exporter: Airferry::new(),
            importer: Airferry::new(),
            source: DockerRegistry::start(),
            bundles: tempfile::tempdir().expect("a temporary directory"),
        };
        let key = stage.exporter.path("exporter");
        stage
            .exporter
            .run(["keygen".as_ref(), "--out".as_ref(), key.as_os_str()])
            .succeeds();
        fs::copy(stage.exporter.path("exporter.pub"), stage.trusted()).expect("a public key");
        stage
    }

    /// Returns the path of the importer's copy of the exporter's public key.
    pub fn trusted(&self) -> PathBuf {
        self.importer.path("exporter.pub")
    }

    /// Returns a path in the directory for bundles.
    pub fn at(&self, name: &str) -> PathBuf {
        self.bundles.path().join(name)
    }

    /// Publishes an image in the source registry; returns its reference.
    #[track_caller]
    pub fn publish(&self, repository: &str, tag: &str, image: &Image) -> String {
        let host = self.source.host().to_string();
        publish::push(&host, repository, Some(tag), image);
        format!("{host}/{repository}:{tag}")
    }

    /// Exports to a bundle of this name, and asserts success.
    #[track_caller]
    pub fn export(&self, name: &str, references: &[&str], more: &[&str]) -> PathBuf {
        self.try_export(name, references, more).succeeds();
        self.at(name)
    }

    /// Exports to a bundle of this name.
    pub fn try_export(&self, name: &str, references: &[&str], more: &[&str]) -> Outcome {
        let mut command = self.exporter.command();
        command.arg("export").args(references).arg("--to");
        command.arg(self.at(name)).arg("--key");
        command.arg(self.exporter.path("exporter.pem"));
        command.args(["--tls-verify=false", "--quiet"]).args(more);
        Outcome::of(command)
    }

    /// Verifies a bundle with the exporter's key.
    pub fn verify(&self, bundle: &Path, more: &[&str]) -> Outcome {
        let mut command = self.importer.command();
        command.arg("verify").arg(bundle).arg("--trust");
        command.arg(self.trusted()).arg("--quiet").args(more);
        Outcome::of(command)
    }

    /// Returns the command that imports a bundle with the exporter's key.
    pub fn import_command(&self, bundle: &Path, to: &str, more: &[&str]) -> std::process::Command {
        let more = [&["--tls-verify=false"], more].concat();
        self.import_command_over_tls(bundle, to, &more)
    }

    /// As [`Stage::import_command`], into a registry whose certificate must verify.
    pub fn import_command_over_tls(
        &self,
        bundle: &Path,
        to: &str,
        more: &[&str],
    ) -> std::process::Command {
        let mut command = self.importer.command();
        command.arg("import").arg(bundle).args(["--to", to]);
        command.arg("--trust").arg(self.trusted());
        command.arg("--quiet").args(more);
        command
    }

    /// Imports a bundle with the exporter's key.
    pub fn import(&self, bundle: &Path, to: &str, more: &[&str]) -> Outcome {
        Outcome::of(self.import_command(bundle, to, more))
    }

    /// Copies a bundle, to be damaged.
    #[track_caller]
    pub fn copy(&self, bundle: &Path, name: &str) -> PathBuf {
        let to = self.at(name);
        let _ = fs::remove_dir_all(&to);
        copy_directory(bundle, &to);
        to
    }
}

/// Returns all files below a directory, relative to it, sorted.
pub fn files(directory: &Path) -> Vec<String> {
    fn walk(directory: &Path, prefix: &str, found: &mut Vec<String>) {
        for entry in fs::read_dir(directory).expect("a directory") {
            let entry = entry.expect("an entry");
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type().expect("a type").is_dir() {
                walk(&entry.path(), &format!("{name}/"), found);
            } else {
                found.push(name);
            }
        }
    }
    let mut found = Vec::new();
    walk(directory, "", &mut found);
    found.sort();
    found
}

pub fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for file in files(from) {
        let target = to.join(&file);
        fs::create_dir_all(target.parent().expect("a parent")).expect("a directory");
        fs::copy(from.join(&file), target).expect("a copy");
    }
}

/// Flips one bit of a file in place.
#[track_caller]
pub fn flip(file: &Path, byte: usize, bit: u8) {
    let mut bytes = fs::read(file).expect("a file");
    bytes[byte] ^= 1 << bit;
    fs::write(file, bytes).expect("a file");
}
