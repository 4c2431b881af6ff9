//! Measures MB/s and memory of each encoder, on one core.
//!
//! `cargo bench --bench codec [-- FILE [NAME]]`: FILE is a tar to encode (default: a generated one
//! of 24 MiB), NAME selects encoders by a part of their name. The performance targets are stated in
//! the unit of the gzip column: MB (10^6 bytes) of gzip per second.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use std::io::{Cursor, Write};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use airferry::codec::{
    Caps, EncodeWriter, Encoder, IdentifyOptions, Identity, identify, inflate, recreate,
};

const ENCODERS: [&str; 13] = [
    "kp5-C-pgzip-1024",
    "kp5-C-gzip",
    "kp5-A-gzip",
    "kp6-C-gzip",
    "go126-1",
    "go126-4",
    "go126-6",
    "go126-9",
    "go127-6",
    "zlib-1-raw",
    "zlib-6-raw",
    "zlib-9-raw",
    "kp5-C-pgzip-256",
];

fn main() {
    // Cargo adds `--bench`.
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let plain = args
        .next()
        .map_or_else(generated, |file| fs_err::read(file).unwrap());
    let selected = args.next().unwrap_or_default();
    let one = NonZeroUsize::MIN;
    println!(
        "{:<18} {:>10} {:>10} {:>8} {:>10}",
        "encoder", "plain MB/s", "gzip MB/s", "ratio", "peak MiB"
    );
    for name in ENCODERS.iter().filter(|name| name.contains(&selected)) {
        let encoder: Encoder = name.parse().unwrap();
        reset_peak();
        let before = peak();
        let mut gzip = 0;
        let took = best_of(3, || {
            let mut writer = EncodeWriter::new(encoder, one, Count(0)).unwrap();
            writer.write_all(&plain).unwrap();
            gzip = writer.finish().unwrap().0;
        });
        report(name, plain.len(), gzip, took, peak().saturating_sub(before));
    }
    println!();
    for name in ["kp5-C-pgzip-1024", "go126-6"] {
        if name.contains(&selected) {
            whole(name, &plain);
        }
    }
}

/// Measures inflating, identifying and recreating a blob; all but inflating on all cores.
fn whole(name: &str, plain: &[u8]) {
    let threads = std::thread::available_parallelism().unwrap();
    let mut writer = EncodeWriter::new(name.parse().unwrap(), threads, Vec::new()).unwrap();
    writer.write_all(plain).unwrap();
    let blob = writer.finish().unwrap();
    let caps = Caps::DEFAULT;

    let took = best_of(3, || {
        inflate(blob.as_slice(), caps, &mut std::io::sink()).unwrap();
    });
    report(&format!("inflate {name}"), plain.len(), blob.len(), took, 0);

    let mut found = None;
    reset_peak();
    let before = peak();
    let took = best_of(3, || {
        let options = IdentifyOptions { threads, caps };
        found = Some(identify(Cursor::new(&blob), &options).unwrap());
    });
    let memory = peak().saturating_sub(before);
    report(
        &format!("identify {name}"),
        plain.len(),
        blob.len(),
        took,
        memory,
    );

    if let Some(Identity::Recipe(recipe)) = found {
        let took = best_of(3, || {
            recreate(plain, &recipe, threads, std::io::sink()).unwrap()
        });
        report(
            &format!("recreate {name}"),
            plain.len(),
            blob.len(),
            took,
            0,
        );
    }
}

fn report(name: &str, plain: usize, gzip: usize, took: Duration, memory: u64) {
    let rate = |bytes: usize| bytes as f64 / 1e6 / took.as_secs_f64();
    println!(
        "{name:<18} {:>10.1} {:>10.1} {:>8.3} {memory:>10}",
        rate(plain),
        rate(gzip),
        gzip as f64 / plain as f64,
    );
}

fn best_of(times: usize, mut run: impl FnMut()) -> Duration {
    let attempts = (0..times).map(|_| {
        let begin = Instant::now();
        run();
        begin.elapsed()
    });
    attempts.min().unwrap()
}

/// Makes the kernel forget the peak of the memory used (Linux; elsewhere the peak is shown as 0).
fn reset_peak() {
    let _ = fs_err::write("/proc/self/clear_refs", "5");
}

/// Returns the peak of the memory used, in MiB.
fn peak() -> u64 {
    let status = fs_err::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}

/// Generates text, data like code and tables, noise and zeros, in pieces of the length of files.
fn generated() -> Vec<u8> {
    let mut state = 7u32;
    let mut random = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    };
    let mut plain = Vec::new();
    while plain.len() < 24 << 20 {
        let end = plain.len() + 2000 + random() as usize % 60_000;
        let kind = random() % 8;
        while plain.len() < end {
            match kind {
                0 => plain.push((random() >> 9) as u8),
                1 => plain.extend([0; 64]),
                2..=4 => {
                    let word = (random() % 3000).min(random() % 3000);
                    plain.extend((0..2 + word % 8).map(|i| b'a' + (word * (i + 3) % 26) as u8));
                    plain.push(b' ');
                }
                _ => {
                    let (a, b) = (random(), random());
                    plain.extend([0x48, 0x8b, 0x40 | (a & 7) as u8, (b & 0x3c) as u8, 0xe8]);
                    plain.extend(&(plain.len() as u32 + b % 512).to_le_bytes()[..3]);
                }
            }
        }
    }
    plain
}

/// A writer that only counts its bytes.
struct Count(usize);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
