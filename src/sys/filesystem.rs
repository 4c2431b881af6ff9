//! Describes the file system under a directory.

use std::path::{Path, PathBuf};

use super::error::{At, Result};

/// Largest file on FAT32, in bytes.
const FAT32_MAX: u64 = 4 * 1024 * 1024 * 1024 - 1;

/// Largest file that fusefat writes, in bytes (measured: it stops there with EPERM).
const FUSEFAT_MAX: u64 = 2 * 1024 * 1024 * 1024 - 1;

/// The file system that holds a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSystem {
    /// Type as reported by the kernel, for example `ext4`, `vfat`, `fuseblk`.
    pub kind: String,
    /// Bytes that this process may still write; `None` if unknown (fusefat reports 0).
    pub available: Option<u64>,
    /// Total size in bytes.
    pub total: u64,
    /// True if it is mounted read-only.
    pub read_only: bool,
    /// Largest possible file in bytes, if the type implies one.
    pub max_file: Option<u64>,
    /// True if existing files can be shortened, extended or overwritten. False for fusefat, which
    /// loses data when that is done (measured).
    pub rewrites_files: bool,
}

impl FileSystem {
    /// Reads the properties of the file system under `path`, which must exist.
    pub fn of(path: &Path) -> Result<Self> {
        let stat = rustix::fs::statvfs(path).at("look at the file system of", path)?;
        let kind = mount_of(path).map_or_else(|| "unknown".to_owned(), |mount| mount.kind);
        Ok(Self {
            available: (stat.f_bavail > 0 || !kind.starts_with("fuse"))
                .then(|| stat.f_bavail.saturating_mul(stat.f_frsize)),
            total: stat.f_blocks.saturating_mul(stat.f_frsize),
            read_only: stat.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
            max_file: max_file(&kind),
            rewrites_files: !is_fusefat(&kind),
            kind,
        })
    }

    /// Returns true if removable media commonly have this type. A key found on one proves
    /// nothing, since it may have travelled with the bundle. `fuseblk` is the type of NTFS and
    /// exFAT mounted through FUSE.
    pub fn is_removable_kind(&self) -> bool {
        matches!(
            self.kind.as_str(),
            "vfat" | "msdos" | "fat" | "exfat" | "ntfs" | "ntfs3" | "udf" | "iso9660" | "fuseblk"
        ) || is_fusefat(&self.kind)
            || self.kind.starts_with("fuse.exfat")
            || self.kind.starts_with("fuse.ntfs")
    }
}

/// Returns true for FAT through FUSE, which is used for FAT32 where the kernel's driver is
/// missing.
fn is_fusefat(kind: &str) -> bool {
    kind.starts_with("fuse.fusefat")
}

fn max_file(kind: &str) -> Option<u64> {
    match kind {
        "vfat" | "msdos" => Some(FAT32_MAX),
        _ if is_fusefat(kind) => Some(FUSEFAT_MAX),
        _ => None,
    }
}

/// Returns true if two paths are on the same mounted file system.
pub fn same_mount(a: &Path, b: &Path) -> bool {
    match (mount_of(a), mount_of(b)) {
        (Some(a), Some(b)) => a.point == b.point,
        _ => false,
    }
}

/// Returns true if a file system is mounted at exactly this directory, which must exist.
pub fn is_mount_point(directory: &Path) -> bool {
    let resolved = std::fs::canonicalize(directory);
    resolved.is_ok_and(|resolved| mount_of(directory).is_some_and(|mount| mount.point == resolved))
}

/// Directories below which media are mounted (hier(7); udisks, systemd and macOS add others).
const MEDIA: [&str; 4] = ["/media", "/mnt", "/run/media", "/Volumes"];

/// Returns true if a path is below a directory for media but nothing is mounted there: writes
/// would go to the disk underneath. The path need not exist.
pub fn lacks_its_medium(path: &Path) -> bool {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let Some(home) = MEDIA.iter().find(|home| absolute.starts_with(home)) else {
        return false;
    };
    let mount = absolute.ancestors().find_map(mount_of);
    absolute != Path::new(home) && mount.is_some_and(|mount| !is_below(&mount.point, home))
}

fn is_below(point: &Path, directory: &str) -> bool {
    point.starts_with(directory) && point != Path::new(directory)
}

struct Mount {
    point: PathBuf,
    kind: String,
}

/// Finds the mount that contains `path`: the longest mount point that is a prefix of it.
fn mount_of(path: &Path) -> Option<Mount> {
    #[expect(clippy::disallowed_methods, reason = "sys is where files are read")]
    let (path, table) = (
        std::fs::canonicalize(path).ok()?,
        std::fs::read_to_string("/proc/self/mountinfo").ok()?,
    );
    find_mount(&table, &path)
}

/// Searches a table in the format of `/proc/pid/mountinfo` (proc(5)). Later lines hide earlier
/// ones.
fn find_mount(table: &str, path: &Path) -> Option<Mount> {
    let mut best: Option<Mount> = None;
    for line in table.lines() {
        let Some((front, back)) = line.split_once(" - ") else {
            continue;
        };
        let (Some(point), Some(kind)) = (front.split(' ').nth(4), back.split(' ').next()) else {
            continue;
        };
        let point = PathBuf::from(unescape(point));
        let longer = |best: &Mount| point.as_os_str().len() >= best.point.as_os_str().len();
        if path.starts_with(&point) && best.as_ref().is_none_or(longer) {
            let kind = kind.to_owned();
            best = Some(Mount { point, kind });
        }
    }
    best
}

/// Decodes the octal escapes that the table uses for spaces, tabs, newlines and backslashes.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 7:0 / /mnt/my\\040stick rw shared:2 - vfat /dev/loop0 rw,uid=0
31 30 7:1 / /mnt/my\\040stick/in rw - fuseblk /dev/loop1 rw";

    #[test]
    fn longest_mount_point_wins() {
        let kind = |path: &str| find_mount(TABLE, Path::new(path)).unwrap().kind;
        assert_eq!(kind("/mnt/my stick/okd"), "vfat");
        assert_eq!(kind("/mnt/my stick/in/x"), "fuseblk");
        assert_eq!(kind("/mnt/my"), "ext4");
        assert_eq!(max_file("vfat"), Some(4_294_967_295));
        assert_eq!(max_file("ext4"), None);
    }

    #[test]
    fn a_stick_that_is_not_mounted_is_noticed() {
        assert!(lacks_its_medium(Path::new("/media/no-such-stick/may")));
        assert!(lacks_its_medium(Path::new("/run/media/nobody/stick")));
        assert!(!lacks_its_medium(Path::new("/srv/no-such-directory/may")));
        assert!(!lacks_its_medium(Path::new("/proc/no-such-directory")));
        assert!(is_below(Path::new("/mnt/stick"), "/mnt"));
        assert!(!is_below(Path::new("/mnt"), "/mnt"));
        assert!(!is_below(Path::new("/"), "/mnt"));
    }

    #[test]
    fn this_machine_has_a_root() {
        let here = FileSystem::of(Path::new("/")).unwrap();
        assert!(here.total > 0 && here.kind != "unknown");
        assert!(same_mount(Path::new("/"), Path::new("/")));
    }
}
