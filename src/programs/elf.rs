//! What a Linux program needs of the machine that starts it: processor, glibc, other libraries.
//!
//! Reads ELF files in memory (System V ABI, "Object Files"; Linux Standard Base 5.0, "Symbol
//! Versioning"). A program names the versions of the symbols that it uses, such as `GLIBC_2.34`.
//! A glibc without one of them does not start the program.

use std::collections::BTreeSet;
use std::fmt;

use object::LittleEndian;
use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, SectionTable};

/// First bytes of every ELF file.
const MAGIC: &[u8] = b"\x7fELF";

/// Libraries of glibc, and the library of GCC that every distribution installs with it.
const ALWAYS_THERE: [&str; 10] = [
    "libc.so.6",
    "libdl.so.2",
    "libgcc_s.so.1",
    "libm.so.6",
    "libpthread.so.0",
    "libresolv.so.2",
    "librt.so.1",
    "libutil.so.1",
    "ld-linux-aarch64.so.1",
    "ld-linux-x86-64.so.2",
];

/// Reason why a file is not a program for 64-bit Linux.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    /// Not an ELF file: a script, an archive, a program for another system.
    #[error("It is not an ELF file")]
    NotElf,
    /// An ELF file for another system, processor or word size.
    #[error("It is an ELF file for {0}")]
    Foreign(String),
    /// An object file, a library, a core dump.
    #[error("It is an ELF file but not a program: {0}")]
    NotProgram(&'static str),
    /// Without section headers, the needed versions cannot be read.
    #[error("It has no section headers, so its needs cannot be read")]
    Stripped,
    /// A table is outside the file, or cut.
    #[error("It is a damaged ELF file")]
    Damaged(#[source] object::read::Error),
}

impl From<object::read::Error> for ElfError {
    fn from(error: object::read::Error) -> Self {
        Self::Damaged(error)
    }
}

/// A processor that airferry is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Processor {
    /// AMD and Intel, 64 bits.
    X86_64,
    /// Arm, 64 bits, little-endian.
    Aarch64,
}

impl Processor {
    /// Returns the path of glibc's loader, which starts dynamically linked programs.
    fn loader(self) -> &'static str {
        match self {
            Self::X86_64 => "/lib64/ld-linux-x86-64.so.2",
            Self::Aarch64 => "/lib/ld-linux-aarch64.so.1",
        }
    }
}

impl fmt::Display for Processor {
    /// Writes the name that `uname -m` prints.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        })
    }
}

/// A version of glibc, such as 2.17 or 2.2.5.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GlibcVersion(Vec<u32>);

impl GlibcVersion {
    /// Returns the version that a released airferry needs: 2.17, the glibc of RHEL 7.
    pub fn oldest() -> Self {
        Self(vec![2, 17])
    }

    /// Parses the part of a symbol version after `GLIBC_`. Returns `None` if it is not a number, as
    /// in `GLIBC_PRIVATE` and `GLIBC_ABI_DT_RELR`.
    fn of_symbols(name: &str) -> Option<Self> {
        let numbers = name.split('.').map(|number| number.parse().ok());
        numbers.collect::<Option<Vec<u32>>>().map(Self)
    }
}

impl fmt::Display for GlibcVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(u32::to_string).collect();
        f.write_str(&numbers.join("."))
    }
}

/// Needs of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// Processor that it is built for.
    pub processor: Processor,
    /// Newest glibc version among its symbol versions; `None` if it is statically linked.
    pub glibc: Option<GlibcVersion>,
    /// Symbol versions of glibc that are not version numbers.
    other_versions: BTreeSet<String>,
    /// Libraries that are not part of glibc.
    libraries: BTreeSet<String>,
    /// Its loader, if that is not glibc's.
    loader: Option<String>,
}

impl Needs {
    /// Reads the needs of a program.
    pub fn of(program: &[u8]) -> Result<Self, ElfError> {
        if !program.starts_with(MAGIC) {
            return Err(ElfError::NotElf);
        }
        let header: &FileHeader64<LittleEndian> = FileHeader64::parse(program)
            .map_err(|_| ElfError::Foreign("32 bits or big-endian".to_owned()))?;
        let processor = check_header(header)?;
        let mut needs = Self {
            processor,
            glibc: None,
            other_versions: BTreeSet::new(),
            libraries: BTreeSet::new(),
            loader: None,
        };
        let sections = header.sections(LittleEndian, program)?;
        for segment in header.program_headers(LittleEndian, program)? {
            if let Some(loader) = segment.interpreter(LittleEndian, program)? {
                if sections.is_empty() {
                    return Err(ElfError::Stripped);
                }
                if loader != processor.loader().as_bytes() {
                    needs.loader = Some(text(loader));
                }
            }
        }
        needs.read_libraries(&sections, program)?;
        needs.read_versions(&sections, program)?;
        Ok(needs)
    }

    fn read_libraries(&mut self, sections: &Sections<'_>, program: &[u8]) -> Result<(), ElfError> {
        let dynamic = sections.dynamic_table(LittleEndian, program)?;
        for entry in dynamic.iter().filter(|entry| entry.tag == elf::DT_NEEDED) {
            let name = text(dynamic.string(entry)?);
            if !ALWAYS_THERE.contains(&&*name) {
                self.libraries.insert(name);
            }
        }
        Ok(())
    }

    fn read_versions(&mut self, sections: &Sections<'_>, program: &[u8]) -> Result<(), ElfError> {
        for section in sections.iter() {
            let Some((files, strings)) = section.gnu_verneed(LittleEndian, program)? else {
                continue;
            };
            let strings = sections.strings(LittleEndian, program, strings)?;
            for file in files {
                let (_, versions) = file?;
                for version in versions {
                    let name = text(version?.name(LittleEndian, strings)?);
                    self.add_version(&name);
                }
            }
        }
        Ok(())
    }

    /// Records a symbol version of glibc. Those of other libraries (`GCC_3.0`) are ignored: the
    /// libraries themselves are listed.
    fn add_version(&mut self, name: &str) {
        let Some(number) = name.strip_prefix("GLIBC_") else {
            return;
        };
        match GlibcVersion::of_symbols(number) {
            Some(version) => self.glibc = self.glibc.take().max(Some(version)),
            None => {
                self.other_versions.insert(name.to_owned());
            }
        }
    }

    /// Returns the reasons why the program may not start on a machine with this glibc and no other
    /// libraries; none if it starts.
    pub fn beyond(&self, glibc: &GlibcVersion) -> Vec<String> {
        let newer = self.glibc.iter().filter(|needed| *needed > glibc);
        let newer = newer.map(|needed| {
            format!("it needs glibc {needed} or later (symbol version GLIBC_{needed})")
        });
        let versions = self.other_versions.iter();
        let versions = versions.map(|name| format!("it needs glibc's symbol version {name}"));
        let libraries = self.libraries.iter();
        let libraries =
            libraries.map(|name| format!("it needs {name}, which is not part of glibc"));
        let loader = self.loader.iter();
        let loader = loader.map(|path| format!("its loader is {path}, not that of glibc"));
        newer
            .chain(versions)
            .chain(libraries)
            .chain(loader)
            .collect()
    }
}

type Sections<'a> = SectionTable<'a, FileHeader64<LittleEndian>>;

/// Checks that the file is a program for Linux and a known processor.
fn check_header(header: &FileHeader64<LittleEndian>) -> Result<Processor, ElfError> {
    let system = header.e_ident.os_abi;
    if system != elf::ELFOSABI_NONE && system != elf::ELFOSABI_LINUX {
        return Err(ElfError::Foreign(format!("system number {}", system.0)));
    }
    let processor = match header.e_machine(LittleEndian) {
        elf::EM_X86_64 => Processor::X86_64,
        elf::EM_AARCH64 => Processor::Aarch64,
        other => return Err(ElfError::Foreign(format!("processor number {}", other.0))),
    };
    match header.e_type(LittleEndian) {
        elf::ET_EXEC | elf::ET_DYN => {}
        elf::ET_REL => return Err(ElfError::NotProgram("an object file")),
        elf::ET_CORE => return Err(ElfError::NotProgram("a core dump")),
        _ => return Err(ElfError::NotProgram("of no known type")),
    }
    match header.e_entry(LittleEndian) {
        0 => Err(ElfError::NotProgram("a library, or symbols alone")),
        _ => Ok(processor),
    }
}

/// Makes a name of the file printable.
fn text(name: &[u8]) -> String {
    name.escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(numbers: &str) -> GlibcVersion {
        GlibcVersion::of_symbols(numbers).unwrap()
    }

    fn nothing() -> Needs {
        Needs {
            processor: Processor::X86_64,
            glibc: None,
            other_versions: BTreeSet::new(),
            libraries: BTreeSet::new(),
            loader: None,
        }
    }

    /// Returns the 64 bytes of a header, with nothing after it.
    fn header(class: u8, system: u8, kind: u16, processor: u16, entry: u64) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([class, 1, 1, system, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(kind.to_le_bytes());
        bytes.extend(processor.to_le_bytes());
        bytes.extend(1u32.to_le_bytes());
        bytes.extend(entry.to_le_bytes());
        bytes.resize(52, 0);
        bytes.extend(
            [64u16, 56, 0, 64, 0, 0]
                .into_iter()
                .flat_map(u16::to_le_bytes),
        );
        bytes
    }

    #[test]
    fn versions_are_compared_by_numbers() {
        assert!(version("2.4") < version("2.17"));
        assert!(version("2.2.5") < version("2.17"));
        assert!(version("2.17") == GlibcVersion::oldest());
        assert!(version("2.17.1") > GlibcVersion::oldest());
        assert_eq!(version("2.3.4").to_string(), "2.3.4");
        for name in ["PRIVATE", "ABI_DT_RELR", "2.", "2.x", ""] {
            assert_eq!(GlibcVersion::of_symbols(name), None, "{name}");
        }
    }

    #[test]
    fn the_newest_version_decides_and_odd_ones_are_named() {
        let mut needs = nothing();
        for name in ["GLIBC_2.9", "GLIBC_2.17", "GLIBC_2.2.5", "GCC_4.8.0"] {
            needs.add_version(name);
        }
        assert_eq!(needs.glibc, Some(GlibcVersion::oldest()));
        assert_eq!(needs.beyond(&GlibcVersion::oldest()), [""; 0]);
        needs.add_version("GLIBC_2.18");
        needs.add_version("GLIBC_ABI_DT_RELR");
        needs.libraries.insert("libssl.so.3".to_owned());
        needs.loader = Some("/lib/ld-musl-x86_64.so.1".to_owned());
        let reasons = needs.beyond(&GlibcVersion::oldest());
        let named = ["GLIBC_2.18", "DT_RELR", "libssl.so.3", "ld-musl"];
        assert_eq!(reasons.len(), named.len(), "{reasons:?}");
        for (reason, name) in reasons.iter().zip(named) {
            assert!(reason.contains(name), "{reason}");
        }
    }

    #[test]
    fn only_programs_for_known_machines_are_read() {
        let (dynamic, object, x86_64, aarch64) = (3, 1, 62, 183);
        for (processor, expected) in [(x86_64, Processor::X86_64), (aarch64, Processor::Aarch64)] {
            for system in [0, 3] {
                let needs = Needs::of(&header(2, system, dynamic, processor, 64)).unwrap();
                assert_eq!(needs.processor, expected);
                assert_eq!(needs.beyond(&GlibcVersion::oldest()), [""; 0]);
            }
        }
        let refused = |bytes: &[u8]| Needs::of(bytes).unwrap_err().to_string();
        for (bytes, why) in [
            (b"#!/bin/sh\n".to_vec(), "not an ELF file"),
            (Vec::new(), "not an ELF file"),
            (header(1, 0, dynamic, x86_64, 64), "32 bits"),
            (header(2, 9, dynamic, x86_64, 64), "system number 9"),
            (header(2, 0, dynamic, 243, 64), "processor number 243"),
            (header(2, 0, object, x86_64, 0), "an object file"),
            (header(2, 0, 4, x86_64, 0), "a core dump"),
            (header(2, 0, dynamic, x86_64, 0), "a library"),
        ] {
            let told = refused(&bytes);
            assert!(told.contains(why), "{told}, not {why}");
        }
        let mut cut = header(2, 0, dynamic, x86_64, 64);
        // One program header, beyond the end.
        cut[32] = 64;
        cut[56] = 1;
        assert!(refused(&cut).contains("damaged"));
        cut.truncate(40);
        assert!(Needs::of(&cut).is_err());
    }
}
