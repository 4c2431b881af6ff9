//! Removable media: real file systems in image files, mounted like sticks.
//!
//! exFAT, FAT32 and NTFS are mounted by their FUSE drivers, which every kernel with FUSE can run;
//! ext4 represents a disk. The tests in `tests/it/real_parts.rs` check how these drivers differ
//! from a local file system:
//!
//! - `/proc/self/mountinfo` says `fuseblk` for exFAT and NTFS alike, `fuse.fusefat` for FAT32;
//!   `statfs` says FUSE for all three. Only the first sectors of the device tell which file system
//!   it is.
//! - fusefat reports 0 bytes of free space, returns EPERM where others return ENOSPC or EFBIG (and
//!   returns it from 2 GiB on, not 4), and refuses to make a file longer without writing
//!   (`ftruncate`). It damages files that are made shorter (`ftruncate`, `O_TRUNC`): often the next
//!   write fails, sometimes the content is wrong. Safe operations are overwriting in place,
//!   appending, and removing or replacing whole files. The kernel's own driver has none of these
//!   faults, but code that never shortens a file can be tested here.
//! - None of the three supports `renameat2` with `RENAME_NOREPLACE`.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::real_part::{self, run};

/// One mebibyte.
pub const MIB: u64 = 1 << 20;

/// Longest time that a driver may take to mount, to flush or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Kind of file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSystem {
    Exfat,
    Fat32,
    Ntfs,
    Ext4,
}

/// Access with which it is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Write,
    ReadOnly,
}

/// A mounted medium. Unmounted and removed with its image file when dropped, also after a panic.
#[derive(Debug)]
pub struct Medium {
    kind: FileSystem,
    /// Holds the image file and the mount point; removed after the rest.
    directory: TempDir,
    mounted: bool,
    /// The FUSE driver, which runs in the foreground: when it ends, all data is flushed.
    driver: Option<Child>,
}

impl FileSystem {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Exfat, Self::Fat32, Self::Ntfs, Self::Ext4];

    /// The kinds that sticks have.
    pub const REMOVABLE: [Self; 3] = [Self::Exfat, Self::Fat32, Self::Ntfs];

    fn maker(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Exfat => ("mkfs.exfat", &[]),
            Self::Fat32 => ("mkfs.vfat", &["-F", "32"]),
            Self::Ntfs => ("mkfs.ntfs", &["--force", "--fast", "--quiet"]),
            Self::Ext4 => ("mkfs.ext4", &["-q", "-F"]),
        }
    }

    fn checker(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Exfat => ("fsck.exfat", &["-n"]),
            Self::Fat32 => ("fsck.vfat", &["-n"]),
            Self::Ntfs => ("ntfsfix", &["--no-action"]),
            Self::Ext4 => ("fsck.ext4", &["-n", "-f"]),
        }
    }

    fn driver(self) -> Option<&'static str> {
        match self {
            Self::Exfat => Some("mount.exfat-fuse"),
            Self::Fat32 => Some("fusefat"),
            Self::Ntfs => Some("ntfs-3g"),
            Self::Ext4 => None,
        }
    }
}

impl Medium {
    /// Makes a new exFAT stick.
    #[track_caller]
    pub fn exfat(bytes: u64) -> Option<Self> {
        Self::fresh(FileSystem::Exfat, bytes)
    }

    /// Makes a new FAT32 stick; at least 33 MiB.
    #[track_caller]
    pub fn fat32(bytes: u64) -> Option<Self> {
        Self::fresh(FileSystem::Fat32, bytes)
    }

    /// Makes a new NTFS stick.
    #[track_caller]
    pub fn ntfs(bytes: u64) -> Option<Self> {
        Self::fresh(FileSystem::Ntfs, bytes)
    }

    /// Makes a new ext4 disk.
    #[track_caller]
    pub fn ext4(bytes: u64) -> Option<Self> {
        Self::fresh(FileSystem::Ext4, bytes)
    }

    /// Makes a new, empty medium and mounts it for writing. `None` if this machine cannot mount it,
    /// which has been reported (and is a failure in CI): the test then just returns.
    #[track_caller]
    pub fn fresh(kind: FileSystem, bytes: u64) -> Option<Self> {
        if !real_part::root("mounting file systems") {
            return None;
        }
        let maker = real_part::required(kind.maker().0)?;
        real_part::required(kind.checker().0)?;
        if let Some(driver) = kind.driver() {
            real_part::required(driver)?;
            if !Path::new("/dev/fuse").exists() {
                real_part::missing("/dev/fuse", "the kernel has no FUSE");
                return None;
            }
        }
        let directory = tempfile::Builder::new()
            .prefix("airferry-medium-")
            .tempdir()
            .expect("a temporary directory");
        let mut medium = Self {
            kind,
            directory,
            mounted: false,
            driver: None,
        };
        fs::create_dir(medium.path()).expect("a mount point");
        let image = File::create(medium.image()).expect("an image file");
        image.set_len(bytes).expect("a sparse image file");
        run(Command::new(maker).args(kind.maker().1).arg(medium.image()))
            .unwrap_or_else(|why| panic!("cannot make the file system: {why}"));
        if let Err(why) = medium.mount(Access::Write) {
            real_part::missing(&format!("a mounted {kind:?} file system"), &why);
            return None;
        }
        Some(medium)
    }

    /// Returns the mount point.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("mnt")
    }

    /// Returns the image file, for damaging it while it is not mounted.
    pub fn image(&self) -> PathBuf {
        self.directory.path().join("medium.img")
    }

    /// Returns the kind of file system.
    pub fn kind(&self) -> FileSystem {
        self.kind
    }

    /// Unmounts it properly: afterwards all data is in the image file.
    pub fn eject(&mut self) {
        self.unmount().unwrap_or_else(|why| panic!("{why}"));
    }

    /// Mounts it again, for writing.
    pub fn insert(&mut self) {
        self.again(Access::Write);
    }

    /// Mounts it again, write-protected.
    pub fn insert_read_only(&mut self) {
        self.again(Access::ReadOnly);
    }

    fn again(&mut self, access: Access) {
        self.eject();
        self.mount(access).unwrap_or_else(|why| panic!("{why}"));
    }

    /// Pulls it out while it is in use: from now on every call fails, as with a stick that is gone.
    /// Data that the driver had not written is lost. For FUSE file systems only.
    pub fn pull(&mut self) {
        let driver = self.driver.as_mut().expect("only FUSE can be pulled");
        driver.kill().expect("the driver is ours");
        driver.wait().expect("the driver is ours");
    }

    /// Fills it with files in `filler/` until about `bytes` bytes are free; returns how many are.
    /// Removing that directory frees the space again.
    pub fn fill_leaving(&self, bytes: u64) -> u64 {
        const PIECE: usize = 256 << 10;
        let directory = self.path().join("filler");
        fs::create_dir(&directory).expect("a directory on the medium");
        let mut whole = Vec::new();
        // Some drivers do not report the free space: fill it up, then remove whole files.
        for number in 0.. {
            let path = directory.join(format!("{number:06}"));
            let written = File::create(&path).and_then(|mut file| {
                file.write_all(&[0x5a; PIECE])?;
                file.sync_all()
            });
            if written.is_err() {
                let _ = fs::remove_file(&path);
                break;
            }
            whole.push(path);
        }
        let mut left = 0;
        while left < bytes {
            let path = whole.pop().expect("the medium is larger than that");
            fs::remove_file(path).expect("files can be removed");
            left += PIECE as u64;
        }
        left
    }

    /// Unmounts the medium, and asserts that its file system is sound.
    #[track_caller]
    pub fn assert_sound(&mut self) {
        self.eject();
        let (name, args) = self.kind.checker();
        let checker = real_part::program(name).expect("it was there when the medium was made");
        run(Command::new(checker).args(args).arg(self.image()))
            .unwrap_or_else(|why| panic!("the file system is damaged: {why}"));
    }

    /// Returns the file system type in `/proc/self/mountinfo`.
    pub fn mount_type(&self) -> Option<String> {
        let table = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let path = self.path();
        table.lines().rev().find_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let point = left.split(' ').nth(4)?;
            (Path::new(point) == path).then(|| right.split(' ').next().map(str::to_owned))?
        })
    }

    fn mount(&mut self, access: Access) -> Result<(), String> {
        let mode = match access {
            Access::Write => "rw",
            Access::ReadOnly => "ro",
        };
        if self.kind == FileSystem::Fat32 {
            // fusefat opens the image file itself; its option `rw+` confirms that writing is
            // wanted.
            let mode = if mode == "rw" { "rw+" } else { mode };
            let mut command = Command::new("fusefat");
            command.args(["-f", "-o", mode]).arg(self.image());
            return self.start(command);
        }
        let device = LoopDevice::attach(&self.image(), access)?;
        match self.kind {
            FileSystem::Exfat => {
                let mut command = Command::new("mount.exfat-fuse");
                // Only `-d` keeps it in the foreground.
                command.args(["-d", "-o", mode]).arg(&device.path);
                self.start(command)
            }
            FileSystem::Ntfs => {
                let mut command = Command::new("ntfs-3g");
                command
                    .args(["-o", &format!("no_detach,{mode}")])
                    .arg(&device.path);
                self.start(command)
            }
            FileSystem::Ext4 | FileSystem::Fat32 => {
                run(Command::new("mount")
                    .args(["-t", "ext4", "-o", mode])
                    .arg(&device.path)
                    .arg(self.path()))?;
                self.mounted = true;
                Ok(())
            }
        }
        // The device is detached here; the kernel frees it when it is unmounted.
    }

    /// Starts a driver and waits until it has mounted.
    fn start(&mut self, mut command: Command) -> Result<(), String> {
        let log = self.directory.path().join("driver.log");
        let file = File::create(&log).map_err(|error| error.to_string())?;
        let errors = file.try_clone().map_err(|error| error.to_string())?;
        let driver = command
            .arg(self.path())
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            .spawn()
            .map_err(|error| format!("{command:?}: {error}"))?;
        let driver = self.driver.insert(driver);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ended = driver.try_wait().map_err(|error| error.to_string())?;
            if ended.is_some() || Instant::now() > deadline {
                let said = fs::read_to_string(&log).unwrap_or_default();
                let _ = driver.kill();
                let _ = driver.wait();
                self.driver = None;
                return Err(format!("{command:?}: {ended:?}: {said}"));
            }
            let path = self.directory.path().join("mnt");
            if is_mount_point(&path).unwrap_or(false) {
                self.mounted = true;
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn unmount(&mut self) -> Result<(), String> {
        if !self.mounted {
            return Ok(());
        }
        let deadline = Instant::now() + PATIENCE;
        // It may be busy for a moment: an indexer, or a child process of the test that is just
        // ending.
        while let Err(why) = run(Command::new("umount").arg(self.path())) {
            if Instant::now() > deadline || !why.contains("busy") {
                return Err(why);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.mounted = false;
        if let Some(mut driver) = self.driver.take() {
            driver.wait().map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

impl Drop for Medium {
    fn drop(&mut self) {
        if self.mounted
            && run(Command::new("umount").arg(self.path())).is_err()
            && let Err(why) = run(Command::new("umount").arg("--lazy").arg(self.path()))
        {
            eprintln!("{} stays mounted: {why}", self.path().display());
        }
        if let Some(mut driver) = self.driver.take() {
            // After a lazy unmount the driver lives on until the last file is closed.
            let _ = driver.kill();
            let _ = driver.wait();
        }
    }
}

/// Returns true if `/proc/self/mountinfo` lists a mount at this path.
fn is_mount_point(path: &Path) -> io::Result<bool> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    Ok(table
        .lines()
        .any(|line| line.split(' ').nth(4).map(Path::new) == Some(path)))
}

/// A loop device. Detached when dropped: if it is mounted then, the kernel keeps it until it is
/// unmounted, so nothing is left behind even if the test panics.
#[derive(Debug)]
struct LoopDevice {
    path: String,
}

impl LoopDevice {
    fn attach(image: &Path, access: Access) -> Result<Self, String> {
        let mut command = Command::new("losetup");
        command.args(["--show", "--find"]).arg(image);
        if access == Access::ReadOnly {
            command.arg("--read-only");
        }
        run(&mut command).map(|path| Self { path })
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        if let Err(why) = run(Command::new("losetup").arg("--detach").arg(&self.path)) {
            eprintln!("{why}");
        }
    }
}
