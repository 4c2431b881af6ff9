//! pgzip framing: blocks that are encoded independently of each other, in parallel
//! (docs/encoders.md, section 1).

use std::collections::VecDeque;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::deflate::Deflate;
use super::kp::{DICTIONARY, Epoch, Kp, Level};

/// The number of plain bytes in a pgzip block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockSize(u32);

impl BlockSize {
    /// pgzip's default: 1 MiB.
    pub const DEFAULT: Self = Self(1 << 20);
    /// Smallest size in bytes: a block must be longer than the dictionary that the next block
    /// takes from it.
    pub const MIN: u32 = DICTIONARY as u32 + 1;
    /// Largest size in bytes, limited because each thread holds a block: 16 MiB.
    pub const MAX: u32 = 16 << 20;

    /// Returns the size if it is within the limits.
    pub fn new(bytes: u32) -> Option<Self> {
        (Self::MIN..=Self::MAX)
            .contains(&bytes)
            .then_some(Self(bytes))
    }

    /// Returns the number of bytes.
    pub fn get(self) -> u32 {
        self.0
    }
}

/// A block to be encoded by a thread.
struct Job {
    dictionary: Vec<u8>,
    plain: Vec<u8>,
    encoded: SyncSender<Vec<u8>>,
}

/// Splits plain bytes into blocks, has threads encode them, and writes them in order.
#[derive(Debug)]
pub(crate) struct Pgzip {
    block_size: usize,
    block: Vec<u8>,
    dictionary: Vec<u8>,
    /// Queue to the threads; `None` once the stream has ended.
    jobs: Option<SyncSender<Job>>,
    /// Results of the blocks being encoded, in order.
    under_way: VecDeque<Receiver<Vec<u8>>>,
    max_in_flight: usize,
    threads: Vec<JoinHandle<()>>,
    level: Level,
    epoch: Epoch,
}

fn thread_gone() -> io::Error {
    io::Error::other("A thread that encodes blocks ended early")
}

impl Pgzip {
    pub(crate) fn new(
        level: Level,
        epoch: Epoch,
        block_size: BlockSize,
        threads: NonZeroUsize,
    ) -> io::Result<Self> {
        let (jobs, queue) = sync_channel::<Job>(threads.get());
        let queue = Arc::new(Mutex::new(queue));
        let threads = (0..threads.get())
            .map(|_| {
                let queue = Arc::clone(&queue);
                std::thread::Builder::new()
                    .name("pgzip".to_owned())
                    .spawn(move || encode_blocks(&queue, level, epoch))
            })
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Self {
            block_size: block_size.0 as usize,
            block: Vec::new(),
            dictionary: Vec::new(),
            jobs: Some(jobs),
            under_way: VecDeque::new(),
            // One more than the threads work on, so that no thread waits for a block.
            max_in_flight: threads.len() + 1,
            threads,
            level,
            epoch,
        })
    }

    pub(crate) fn write(&mut self, mut plain: &[u8], out: &mut impl Write) -> io::Result<()> {
        while !plain.is_empty() {
            let taken = plain.len().min(self.block_size - self.block.len());
            let (now, later) = plain.split_at(taken);
            self.block.extend_from_slice(now);
            plain = later;
            if self.block.len() == self.block_size {
                self.send_block()?;
                self.receive(self.max_in_flight, out)?;
            }
        }
        Ok(())
    }

    /// Ends the stream. The last block is written even if it is empty.
    pub(crate) fn finish(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.send_block()?;
        self.jobs = None;
        self.receive(0, out)?;
        for thread in self.threads.drain(..) {
            thread.join().map_err(|_| thread_gone())?;
        }
        let mut end = Vec::new();
        Kp::new(self.level, self.epoch).finish(&mut end);
        out.write_all(&end)
    }

    /// Writes all blocks that were sent to the threads.
    pub(crate) fn flush(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.receive(0, out)
    }

    fn send_block(&mut self) -> io::Result<()> {
        let next_dictionary = self.block[self.block.len().saturating_sub(DICTIONARY)..].to_vec();
        let dictionary = std::mem::replace(&mut self.dictionary, next_dictionary);
        let plain = std::mem::take(&mut self.block);
        let (encoded, receiver) = sync_channel(1);
        let job = Job {
            dictionary,
            plain,
            encoded,
        };
        let jobs = self.jobs.as_ref().ok_or_else(thread_gone)?;
        jobs.send(job).map_err(|_| thread_gone())?;
        self.under_way.push_back(receiver);
        Ok(())
    }

    /// Writes blocks until at most `most` remain.
    fn receive(&mut self, most: usize, out: &mut impl Write) -> io::Result<()> {
        while self.under_way.len() > most {
            if let Some(receiver) = self.under_way.pop_front() {
                out.write_all(&receiver.recv().map_err(|_| thread_gone())?)?;
            }
        }
        Ok(())
    }
}

/// Runs in a thread: encodes blocks until the queue is closed.
fn encode_blocks(queue: &Mutex<Receiver<Job>>, level: Level, epoch: Epoch) {
    let mut encoder = Kp::new(level, epoch);
    loop {
        // The lock is held while waiting: the other threads would only wait as well.
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        let mut encoded = Vec::with_capacity(job.plain.len() / 2);
        encoder.encode_block(&job.dictionary, &job.plain, &mut encoded);
        // Fails if the receiver was dropped: the block is no longer needed.
        let _ = job.encoded.send(encoded);
    }
}
