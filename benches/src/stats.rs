//! Figures of a run: latencies, processor time and disk of the server under test.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};

/// Ticks per second of the times in `/proc/PID/stat`: fixed at 100 in Linux's interface to programs.
const TICKS_PER_SECOND: u64 = 100;
/// Files are inspected for their unused, preallocated end in steps of this size.
const TAIL_STEP_BYTES: u64 = 1024 * 1024;

/// Latencies, kept one by one: exact percentiles are worth the few megabytes.
#[derive(Default)]
pub struct Latencies {
    nanos: Vec<u64>,
}

impl Latencies {
    /// Adds one.
    pub fn add(&mut self, latency: Duration) {
        self.nanos.push(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Adds all of another's.
    pub fn merge(&mut self, other: Self) {
        self.nanos.extend(other.nanos);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.nanos.len()
    }

    /// The percentile in milliseconds; zero of nothing.
    pub fn percentile_ms(&mut self, percent: usize) -> f64 {
        self.nanos.sort_unstable();
        let index = (self.nanos.len() * percent / 100).min(self.nanos.len().saturating_sub(1));
        self.nanos.get(index).map_or(0.0, |&nanos| Duration::from_nanos(nanos).as_secs_f64() * 1e3)
    }
}

/// Something per second.
#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^52")]
pub fn rate(count: usize, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64()
}

/// What the server has used up so far, as far as it can be seen from outside.
pub struct Usage {
    cpu_ticks: Option<u64>,
    disk_bytes: Option<u64>,
}

/// Where to look for what the server uses.
#[derive(Clone, Debug, Default)]
pub struct Probe {
    /// The server's process.
    pub pid: Option<u32>,
    /// The server's data directory.
    pub data_dir: Option<PathBuf>,
}

impl Probe {
    /// Looks now.
    pub fn usage(&self) -> Result<Usage> {
        let cpu_ticks = self.pid.map(cpu_ticks).transpose()?;
        let disk_bytes = self.data_dir.as_deref().map(disk_bytes).transpose()?;
        Ok(Usage { cpu_ticks, disk_bytes })
    }
}

impl Usage {
    /// Milliseconds of processor time per operation from `before` to now.
    pub fn cpu_ms_per(&self, before: &Self, count: usize) -> Option<f64> {
        let ticks = self.cpu_ticks?.saturating_sub(before.cpu_ticks?);
        Some(per(ticks * 1000, count) / per(TICKS_PER_SECOND, 1))
    }

    /// Bytes of disk per operation from `before` to now.
    pub fn disk_bytes_per(&self, before: &Self, count: usize) -> Option<f64> {
        Some(per(self.disk_bytes?.saturating_sub(before.disk_bytes?), count))
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures of a benchmark are far below 2^52")]
fn per(total: u64, count: usize) -> f64 {
    total as f64 / count.max(1) as f64
}

/// Processor time that a process and its finished threads have used, in ticks.
fn cpu_ticks(pid: u32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field, the command, is in parentheses and may contain anything but a later ')'.
    let after_command = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = after_command.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok());
    match (ticks(11), ticks(12)) {
        (Some(user), Some(system)) => Ok(user + system),
        _ => Err(Error::Missing { what: "utime or stime in /proc/PID/stat" }),
    }
}

/// Bytes that the files of a directory occupy, without preallocated ends that nothing was written to yet.
fn disk_bytes(dir: &Path) -> Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        // Files come and go while a server works.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        total += if metadata.is_dir() {
            disk_bytes(&entry.path())?
        } else if metadata.is_file() {
            used_bytes(&entry.path(), metadata.len()).unwrap_or(0).min(metadata.blocks() * 512)
        } else {
            0
        };
    }
    Ok(total)
}

/// The length of a file without the zeros at its end.
fn used_bytes(path: &Path, length: u64) -> Result<u64> {
    let mut file = File::open(path)?;
    let mut end = length;
    let mut chunk = Vec::new();
    while end > 0 {
        let begin = end.saturating_sub(TAIL_STEP_BYTES);
        file.seek(SeekFrom::Start(begin))?;
        chunk.clear();
        file.by_ref().take(end - begin).read_to_end(&mut chunk)?;
        if let Some(last) = chunk.iter().rposition(|&byte| byte != 0) {
            return Ok(begin + last as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_hundred_latencies() {
        let mut latencies = Latencies::default();
        (1..=100).rev().for_each(|ms| latencies.add(Duration::from_millis(ms)));
        assert!((latencies.percentile_ms(50) - 51.0).abs() < 1e-9);
        assert!((latencies.percentile_ms(99) - 100.0).abs() < 1e-9);
    }

    #[test]
    fn nothing_has_no_percentile() {
        assert!(Latencies::default().percentile_ms(99) < f64::EPSILON);
    }

    #[test]
    fn the_unused_end_of_a_file_is_not_counted() {
        let dir = std::env::temp_dir().join(format!("engram-bench-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("preallocated");
        let mut bytes = vec![7; 5000];
        bytes.resize(3 * 1024 * 1024, 0);
        fs::write(&path, &bytes).unwrap();
        let used = used_bytes(&path, bytes.len() as u64).unwrap();
        let total = disk_bytes(&dir).unwrap();
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(used, 5000);
        assert_eq!(total, 5000);
    }

    #[test]
    fn this_process_uses_the_processor() {
        assert!(cpu_ticks(std::process::id()).is_ok());
    }
}
