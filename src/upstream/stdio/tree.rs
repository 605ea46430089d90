//! A program's family: everything that descends from this process, its subreaper, also what has left its session or
//! process group or was orphaned. Ends all of it, and reaps it.

use std::time::{Duration, Instant};

use rustix::{
    event::Timespec,
    io::Errno,
    process::{Pid, Signal, WaitOptions, kill_process, wait},
};

use crate::domain::clock;

/// How often it is looked whether somebody is left.
const LOOK: Duration = Duration::from_millis(5);
/// After this long, what even SIGKILL did not end (it hangs in the kernel) is left to the system.
const LONGEST: Duration = Duration::from_secs(30);

/// How a child of ours ended, in the way of a shell: its exit code, or 128 and the signal.
pub(super) type Code = u8;

/// Takes note of every child that has ended. `main`: the one whose end matters. An error: there are no children left.
pub(super) fn reap(main: Pid, ended: &mut Option<Code>) -> Result<(), Errno> {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == main => {
                let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
                *ended = Some(code.and_then(|code| Code::try_from(code).ok()).unwrap_or(255));
            }
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return Ok(()),
            Err(none) => return Err(none),
        }
    }
}

/// Everything below us, in no order. What changes meanwhile may be missed: look again.
pub(super) fn descendants() -> Vec<Pid> {
    let (mut found, mut next) = (Vec::new(), vec![rustix::process::getpid()]);
    while let Some(pid) = next.pop() {
        let Ok(tasks) = std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())) else { continue };
        for task in tasks.flatten() {
            let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            let children = children.split_ascii_whitespace().filter_map(|text| Pid::from_raw(text.parse().ok()?));
            let fresh: Vec<Pid> = children.filter(|pid| !found.contains(pid)).collect();
            found.extend(&fresh);
            next.extend(fresh);
        }
    }
    found
}

/// Resident memory of these processes together, bytes.
pub(super) fn resident(pids: &[Pid]) -> u64 {
    let of = |pid: &Pid| {
        let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    pids.iter().filter_map(of).sum::<u64>().saturating_mul(1024)
}

/// Ends everything below us: asked nicely first, killed after `grace`. When this returns nobody is left.
pub(super) fn end(main: Pid, ended: &mut Option<Code>, grace: Duration) {
    let begun = clock::instant();
    let mut asked = Vec::new();
    while begun.elapsed() < grace {
        if reap(main, ended).is_err() {
            return;
        }
        for pid in descendants() {
            if !asked.contains(&pid) {
                asked.push(pid);
                signal(pid, Signal::TERM);
                signal(pid, Signal::CONT);
            }
        }
        pause(LOOK);
    }
    kill(main, ended, begun);
}

/// Stops everybody before killing them, so that nobody forks away in between; until there are none.
fn kill(main: Pid, ended: &mut Option<Code>, begun: Instant) {
    while reap(main, ended).is_ok() && begun.elapsed() < LONGEST {
        descendants().into_iter().for_each(|pid| signal(pid, Signal::STOP));
        descendants().into_iter().for_each(|pid| signal(pid, Signal::KILL));
        pause(LOOK);
    }
}

fn signal(pid: Pid, signal: Signal) {
    // Gone already is what we want.
    let _gone = kill_process(pid, signal);
}

fn pause(time: Duration) {
    let time = Timespec { tv_sec: 0, tv_nsec: time.subsec_nanos().into() };
    let _interrupted = rustix::event::poll(&mut [], Some(&time));
}
