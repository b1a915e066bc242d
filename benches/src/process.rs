//! What a process has used, and waiting for one.

use std::fs;
use std::io;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use rustix::time::{ClockId, clock_gettime};

use crate::{Context as _, Result};

/// Ticks of `/proc/*/stat` in a second: fixed by the kernel's interface to programs on all that Linux runs on today.
const TICKS: f64 = 100.0;

/// Seconds on a clock that only goes forward; only differences mean something.
#[must_use]
pub fn now() -> f64 {
    seconds(ClockId::Monotonic)
}

/// CPU seconds that this process has used until now, all threads, user and system, to the nanosecond.
#[must_use]
pub fn own_cpu() -> f64 {
    seconds(ClockId::ProcessCPUTime)
}

fn seconds(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Waits without doing anything.
#[expect(clippy::disallowed_methods, reason = "a measurement waits in real time, and has no other")]
pub fn pause(span: Duration) {
    std::thread::sleep(span);
}

/// CPU seconds, user and system, that a process has used until now; also of one that has ended and is not reaped. In steps
/// of 10 ms.
///
/// # Errors
/// Where there is no such process.
pub fn cpu_of(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context(format!("process {pid}"))?;
    // The second field is the program's name in brackets, which may hold anything, brackets and blanks too.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next().and_then(|field| field.parse::<f64>().ok()).ok_or("no times in /proc/*/stat");
    Ok((ticks()? + ticks()?) / TICKS)
}

/// The most memory that a running process has ever held, in bytes; this one's for `self`.
#[must_use]
pub fn peak_rss(pid: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// How a child ended, and what it used.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// Its CPU seconds from start to end, in steps of 10 ms.
    pub cpu: f64,
    /// Its peak memory in bytes, looked at every 10 ms.
    pub peak_rss: u64,
}

/// Waits until a child ends, at most `limit`; then it is killed, which is an error.
///
/// # Errors
/// Timeout, or what the operating system says.
pub fn wait(mut child: Child, limit: Duration) -> Result<Ended> {
    let pid = child.id();
    let raw = Pid::from_raw(i32::try_from(pid)?).ok_or("a child without an id")?;
    let until = now() + limit.as_secs_f64();
    let mut rss = 0;
    loop {
        // NOWAIT leaves it unreaped: its times are still in /proc.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match waitid(WaitId::Pid(raw), options) {
            Ok(Some(_)) => break,
            Ok(None) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(io::Error::from(error).into()),
        }
        rss = rss.max(peak_rss(&pid.to_string()).unwrap_or(0));
        if now() > until {
            child.kill()?;
            child.wait()?;
            return Err(format!("process {pid} did not end within {} s and was killed", limit.as_secs()).into());
        }
        pause(Duration::from_millis(10));
    }
    let cpu = cpu_of(pid)?;
    Ok(Ended { status: child.wait()?, cpu, peak_rss: rss })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_busy_child_shows_its_cpu_after_its_end() {
        let script = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; exit 3";
        let child = Command::new("sh").args(["-c", script]).spawn().unwrap();
        let ended = wait(child, Duration::from_secs(60)).unwrap();
        assert_eq!(ended.status.code(), Some(3));
        assert!(ended.cpu > 0.0 && ended.peak_rss > 0, "{ended:?}");
    }

    #[test]
    fn a_child_that_hangs_is_killed() {
        let child = Command::new("sleep").arg("600").stdout(Stdio::null()).spawn().unwrap();
        let error = wait(child, Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().contains("was killed"), "{error}");
    }

    #[test]
    fn own_numbers_are_there() {
        assert!(own_cpu() > 0.0 && cpu_of(std::process::id()).unwrap() >= 0.0);
        assert!(peak_rss("self").unwrap() > 1024 * 1024);
        let begun = now();
        pause(Duration::from_millis(2));
        assert!(now() > begun);
    }
}
