//! The programs that a release has for users: the component and path of each, the machines that
//! it runs on, and the values to write into it (docs/oc-compatibility.md, section 3.1).

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::patch::Marker;

/// Architecture of the machines on which a tool runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolArch {
    /// This architecture.
    Fixed(&'static str),
    /// The architecture of the release.
    OfRelease,
}

/// The kind of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolKind {
    /// The client `oc`.
    Client,
    /// The installer `openshift-install`.
    Installer,
    /// The tool for cloud credentials, `ccoctl`.
    Credentials,
}

/// One program for one kind of machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tool {
    /// Name by which users request it.
    pub command: &'static str,
    /// Operating system, by Go's name.
    pub os: &'static str,
    /// Architecture, by Go's name.
    pub arch: ToolArch,
    /// Name of the release's component.
    pub component: &'static str,
    /// Path in the component's image.
    pub path: &'static str,
    /// File name of its archive, without version and ending.
    archive: &'static str,
    /// Kind of the tool.
    pub kind: ToolKind,
    /// True if the tool is extracted only when it is requested by name.
    pub by_name_only: bool,
    /// True if a release may lack the tool.
    pub may_be_absent: bool,
}

const CLIENT: Tool = Tool {
    command: "oc",
    os: "linux",
    arch: ToolArch::OfRelease,
    component: "cli-artifacts",
    path: "",
    archive: "",
    kind: ToolKind::Client,
    by_name_only: false,
    may_be_absent: false,
};

const INSTALLER: Tool = Tool {
    command: "openshift-install",
    component: "installer-artifacts",
    kind: ToolKind::Installer,
    ..CLIENT
};

const CREDENTIALS: Tool = Tool {
    component: "cloud-credential-operator",
    kind: ToolKind::Credentials,
    may_be_absent: true,
    ..CLIENT
};

/// Describes a client for one architecture of Linux.
const fn linux(
    command: &'static str,
    arch: &'static str,
    path: &'static str,
    archive: &'static str,
) -> Tool {
    Tool {
        command,
        arch: ToolArch::Fixed(arch),
        path,
        archive,
        may_be_absent: true,
        ..CLIENT
    }
}

/// All programs. Those of the release's own architecture come before others with the same
/// command, so that [`Tool::select`] can leave out the others if they are the same program.
pub const TOOLS: &[Tool] = &[
    Tool {
        os: "darwin",
        arch: ToolArch::Fixed("amd64"),
        path: "usr/share/openshift/mac/oc",
        archive: "openshift-client-mac",
        ..CLIENT
    },
    Tool {
        os: "darwin",
        arch: ToolArch::Fixed("arm64"),
        path: "usr/share/openshift/mac_arm64/oc",
        archive: "openshift-client-mac-arm64",
        may_be_absent: true,
        ..CLIENT
    },
    Tool {
        component: "cli",
        path: "usr/bin/oc",
        archive: "openshift-client-linux",
        ..CLIENT
    },
    Tool {
        may_be_absent: false,
        ..linux(
            "oc",
            "amd64",
            "usr/share/openshift/linux_amd64/oc",
            "openshift-client-linux-amd64",
        )
    },
    linux(
        "oc.rhel9",
        "amd64",
        "usr/share/openshift/linux_amd64/oc.rhel9",
        "openshift-client-linux-amd64-rhel9",
    ),
    linux(
        "oc.rhel8",
        "amd64",
        "usr/share/openshift/linux_amd64/oc.rhel8",
        "openshift-client-linux-amd64-rhel8",
    ),
    linux(
        "oc",
        "arm64",
        "usr/share/openshift/linux_arm64/oc",
        "openshift-client-linux-arm64",
    ),
    linux(
        "oc.rhel9",
        "arm64",
        "usr/share/openshift/linux_arm64/oc.rhel9",
        "openshift-client-linux-arm64-rhel9",
    ),
    linux(
        "oc.rhel8",
        "arm64",
        "usr/share/openshift/linux_arm64/oc.rhel8",
        "openshift-client-linux-arm64-rhel8",
    ),
    linux(
        "oc",
        "ppc64le",
        "usr/share/openshift/linux_ppc64le/oc",
        "openshift-client-linux-ppc64le",
    ),
    linux(
        "oc.rhel9",
        "ppc64le",
        "usr/share/openshift/linux_ppc64le/oc.rhel9",
        "openshift-client-linux-ppc64le-rhel9",
    ),
    linux(
        "oc.rhel8",
        "ppc64le",
        "usr/share/openshift/linux_ppc64le/oc.rhel8",
        "openshift-client-linux-ppc64le-rhel8",
    ),
    linux(
        "oc.rhel9",
        "s390x",
        "usr/share/openshift/linux_s390x/oc.rhel9",
        "openshift-client-linux-s390x-rhel9",
    ),
    linux(
        "oc.rhel8",
        "s390x",
        "usr/share/openshift/linux_s390x/oc.rhel8",
        "openshift-client-linux-s390x-rhel8",
    ),
    Tool {
        os: "windows",
        arch: ToolArch::Fixed("amd64"),
        path: "usr/share/openshift/windows/oc.exe",
        archive: "openshift-client-windows",
        ..CLIENT
    },
    Tool {
        os: "darwin",
        arch: ToolArch::Fixed("amd64"),
        path: "usr/share/openshift/mac/openshift-install",
        archive: "openshift-install-mac",
        ..INSTALLER
    },
    Tool {
        os: "darwin",
        arch: ToolArch::Fixed("arm64"),
        path: "usr/share/openshift/mac_arm64/openshift-install",
        archive: "openshift-install-mac-arm64",
        may_be_absent: true,
        ..INSTALLER
    },
    Tool {
        component: "installer",
        path: "usr/bin/openshift-install",
        archive: "openshift-install-linux",
        ..INSTALLER
    },
    Tool {
        arch: ToolArch::Fixed("amd64"),
        path: "usr/share/openshift/linux_amd64/openshift-install",
        archive: "openshift-install-linux-amd64",
        may_be_absent: true,
        ..INSTALLER
    },
    Tool {
        arch: ToolArch::Fixed("arm64"),
        path: "usr/share/openshift/linux_arm64/openshift-install",
        archive: "openshift-install-linux-arm64",
        may_be_absent: true,
        ..INSTALLER
    },
    Tool {
        command: "openshift-baremetal-install",
        component: "baremetal-installer",
        path: "usr/bin/openshift-install",
        archive: "openshift-baremetal-install-linux",
        by_name_only: true,
        ..INSTALLER
    },
    Tool {
        command: "openshift-install-fips",
        component: "baremetal-installer",
        path: "usr/bin/openshift-install",
        archive: "openshift-install-rhel",
        by_name_only: true,
        ..INSTALLER
    },
    Tool {
        command: "ccoctl",
        path: "usr/bin/ccoctl",
        archive: "ccoctl-linux",
        ..CREDENTIALS
    },
    Tool {
        command: "ccoctl.rhel9",
        path: "usr/bin/ccoctl.rhel9",
        archive: "ccoctl-linux-rhel9",
        ..CREDENTIALS
    },
    Tool {
        command: "ccoctl.rhel8",
        path: "usr/bin/ccoctl.rhel8",
        archive: "ccoctl-linux-rhel8",
        ..CREDENTIALS
    },
];

/// The machines for which tools are requested (`--command-os`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Machines {
    /// All machines: `*`.
    All,
    /// One operating system and architecture.
    One {
        /// Operating system, by Go's name.
        os: String,
        /// Architecture, by Go's name.
        arch: String,
    },
}

/// The error for a text that does not name machines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not OS, OS/ARCH or `*`", text.escape_debug())]
pub struct MachinesError {
    text: String,
}

impl FromStr for Machines {
    type Err = MachinesError;

    /// Parses `linux`, `linux/arm64`, `mac/arm64`, `*`. The default architecture is `amd64`.
    fn from_str(text: &str) -> Result<Self, MachinesError> {
        if text == "*" {
            return Ok(Self::All);
        }
        let (os, arch) = text.split_once('/').unwrap_or((text, "amd64"));
        let word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric());
        if !word(os) || !word(arch) {
            let text = text.to_owned();
            return Err(MachinesError { text });
        }
        let os = if os == "mac" { "darwin" } else { os };
        let (os, arch) = (os.to_owned(), arch.to_owned());
        Ok(Self::One { os, arch })
    }
}

impl fmt::Display for Machines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::One { os, arch } => write!(f, "{os}/{arch}"),
        }
    }
}

impl Tool {
    /// Selects the requested tools: one command, or all except those that are extracted by name
    /// only. A tool that is listed twice, for the release's architecture and for that
    /// architecture by name, is selected once.
    pub fn select(
        command: Option<&str>,
        machines: &Machines,
        release_arch: &str,
    ) -> Vec<&'static Self> {
        let mut of_release = BTreeSet::new();
        let wanted = TOOLS.iter().filter(|tool| match command {
            Some(command) => tool.command == command,
            None => !tool.by_name_only,
        });
        let wanted = wanted.filter(|tool| match machines {
            Machines::All => true,
            Machines::One { os, arch } => tool.os == os && tool.architecture(release_arch) == arch,
        });
        wanted
            .filter(|tool| match tool.arch {
                ToolArch::OfRelease => of_release.insert(tool.command),
                ToolArch::Fixed(arch) => {
                    let same = tool.os == "linux" && arch == release_arch;
                    !same || !of_release.contains(tool.command)
                }
            })
            .collect()
    }

    /// Returns the names of all commands, sorted.
    pub fn commands() -> BTreeSet<&'static str> {
        TOOLS.iter().map(|tool| tool.command).collect()
    }

    /// Returns the architecture of the tool's machines, by Go's name.
    pub fn architecture<'a>(&self, release_arch: &'a str) -> &'a str
    where
        Self: 'a,
    {
        match self.arch {
            ToolArch::Fixed(arch) => arch,
            ToolArch::OfRelease => release_arch,
        }
    }

    /// Returns the file name of the bare program: variants for older systems have the plain name.
    pub fn file_name(&self) -> String {
        let name = self.command.split(".rhel").next().unwrap_or(self.command);
        match self.os {
            "windows" => format!("{name}.exe"),
            _ => name.to_owned(),
        }
    }

    /// Returns the file name of the archive for a version.
    pub fn archive_name(&self, version: &str) -> String {
        let ending = if self.is_zipped() { "zip" } else { "tar.gz" };
        format!("{}-{version}.{ending}", self.archive)
    }

    /// True if the archive is a ZIP file; otherwise it is a compressed tar.
    pub fn is_zipped(&self) -> bool {
        self.os == "windows"
    }

    /// Returns a second name for the program in its archive.
    pub fn link(&self) -> Option<&'static str> {
        (self.kind == ToolKind::Client && self.os != "windows").then_some("kubectl")
    }

    /// Returns the markers of the values to write into the program.
    pub fn markers(&self) -> &'static [Marker] {
        match self.kind {
            ToolKind::Client => &[Marker::ReleaseVersion],
            ToolKind::Installer => &[
                Marker::ReleaseImage,
                Marker::ReleaseVersion,
                Marker::ReleaseArchitecture,
            ],
            ToolKind::Credentials => &[],
        }
    }

    /// True if the program does not run without a valid signature.
    pub fn needs_signature(&self) -> bool {
        self.os == "darwin" && self.arch == ToolArch::Fixed("arm64")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(command: Option<&str>, machines: &str, release_arch: &str) -> Vec<String> {
        Tool::select(command, &machines.parse().unwrap(), release_arch)
            .iter()
            .map(|tool| format!("{}:{}", tool.component, tool.path))
            .collect()
    }

    #[test]
    fn one_program_for_one_machine() {
        for (command, machines, release, expected) in [
            ("oc", "linux", "amd64", "cli:usr/bin/oc"),
            ("oc", "linux/arm64", "arm64", "cli:usr/bin/oc"),
            ("oc", "linux/s390x", "s390x", "cli:usr/bin/oc"),
            (
                "oc",
                "linux/amd64",
                "arm64",
                "cli-artifacts:usr/share/openshift/linux_amd64/oc",
            ),
            (
                "oc",
                "mac/arm64",
                "amd64",
                "cli-artifacts:usr/share/openshift/mac_arm64/oc",
            ),
            (
                "oc",
                "windows",
                "amd64",
                "cli-artifacts:usr/share/openshift/windows/oc.exe",
            ),
            (
                "oc.rhel8",
                "linux/amd64",
                "amd64",
                "cli-artifacts:usr/share/openshift/linux_amd64/oc.rhel8",
            ),
            (
                "openshift-install",
                "linux/amd64",
                "amd64",
                "installer:usr/bin/openshift-install",
            ),
            (
                "openshift-install",
                "linux/arm64",
                "amd64",
                "installer-artifacts:usr/share/openshift/linux_arm64/openshift-install",
            ),
            (
                "openshift-install",
                "darwin",
                "amd64",
                "installer-artifacts:usr/share/openshift/mac/openshift-install",
            ),
            (
                "openshift-baremetal-install",
                "linux",
                "amd64",
                "baremetal-installer:usr/bin/openshift-install",
            ),
            (
                "ccoctl",
                "linux",
                "amd64",
                "cloud-credential-operator:usr/bin/ccoctl",
            ),
        ] {
            let found = select(Some(command), machines, release);
            assert_eq!(found, [expected], "{command} {machines} {release}");
        }
        for (command, machines, release) in [
            ("openshift-install", "windows", "amd64"),
            ("oc", "linux/s390x", "amd64"),
            ("kubectl", "linux", "amd64"),
            ("ccoctl", "darwin", "amd64"),
        ] {
            let none: [&str; 0] = [];
            assert_eq!(select(Some(command), machines, release), none, "{command}");
        }
    }

    #[test]
    fn everything_has_its_own_archive() {
        for release_arch in ["amd64", "arm64", "s390x"] {
            let all = Tool::select(None, &Machines::All, release_arch);
            let names: BTreeSet<_> = all.iter().map(|tool| tool.archive_name("4.9")).collect();
            assert_eq!(names.len(), all.len());
            let own = format!("openshift-client-linux-{release_arch}-4.9.tar.gz");
            assert!(!names.contains(&own), "{own} is a duplicate");
            for name in [
                "openshift-client-linux-4.9.tar.gz",
                "openshift-client-mac-arm64-4.9.tar.gz",
                "openshift-client-windows-4.9.zip",
                "openshift-install-linux-4.9.tar.gz",
                "ccoctl-linux-rhel8-4.9.tar.gz",
            ] {
                assert!(names.contains(name), "{name}");
            }
            assert!(!names.contains("openshift-baremetal-install-linux-4.9.tar.gz"));
        }
    }

    #[test]
    fn names_of_files() {
        let one = |command, machines: &str| {
            let found = Tool::select(Some(command), &machines.parse().unwrap(), "amd64");
            found[0].file_name()
        };
        assert_eq!(one("oc", "windows"), "oc.exe");
        assert_eq!(one("oc.rhel9", "linux"), "oc");
        assert_eq!(one("ccoctl.rhel8", "linux"), "ccoctl");
        let fips = "openshift-install-fips";
        assert_eq!(one(fips, "linux"), fips);
    }

    #[test]
    fn machines() {
        for (text, expected) in [
            ("linux", "linux/amd64"),
            ("mac", "darwin/amd64"),
            ("mac/arm64", "darwin/arm64"),
            ("*", "*"),
        ] {
            assert_eq!(text.parse::<Machines>().unwrap().to_string(), expected);
        }
        for text in ["", "linux/", "/amd64", "linux/arm/v7", "a b"] {
            assert!(text.parse::<Machines>().is_err(), "{text}");
        }
    }
}
