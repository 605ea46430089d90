//! `aerostack __spawn`: between the gateway and each program it runs. Started anew from the gateway's own binary, so
//! that nothing of the gateway's memory, files or environment is inherited.
//!
//! The launcher leads a session of its own and is the subreaper of everything that descends from it. It does nothing
//! but wait for a second process of its kind (`__watch`), a subreaper too, which does not touch the pipes either: it
//! watches the program's input. When the gateway closes that, or is gone, it ends the whole family, and returns when
//! nobody is left. Should it be killed itself, the launcher ends the family; should the launcher be killed, the gateway
//! sees that and closes the input. So no single process can be killed in such a way that another one stays. The program
//! is started through a third step (`__exec`, see `confine`) that gives up privileges first. None of the steps makes
//! threads or runs anything else.

use std::{
    ffi::{CStr, OsString},
    os::{
        fd::OwnedFd,
        unix::process::{CommandExt as _, ExitStatusExt as _},
    },
    path::PathBuf,
    process::{Child, Command, ExitCode},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{DumpableBehavior, Pid, PidfdFlags, getpid, getppid, pidfd_open},
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    config::StdioConfig,
    domain::{clock, program::Program},
    upstream::{
        stdio::{
            Folder,
            confine::{become_program, say},
            tree::{self, Code},
        },
        stream::StreamLimits,
    },
};

const SPAWN: &str = "__spawn";
const WATCH: &str = "__watch";
const EXEC: &str = "__exec";
/// This binary, also after an upgrade has replaced its file.
const SELF: &str = "/proc/self/exe";
/// Exit code of a program that could not be started (as a shell's).
const NOT_STARTED: Code = 127;
/// How often memory and number of processes are looked at, and the adopted reaped.
const ROUND: Duration = Duration::from_millis(500);
/// What the rest of a family gets to end when the program itself has ended.
const LEFTOVER: Duration = Duration::from_millis(300);
/// What a family gets to end when the gateway is gone.
const ORPHANED: Duration = Duration::from_secs(1);

/// What the launcher is told. Travels as an argument: nothing in it is secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Orders {
    stop_ms: u64,
    memory_bytes: u64,
    processes: usize,
    pub(super) data_bytes: Option<u64>,
    pub(super) cpu_seconds: Option<u64>,
    pub(super) files: Option<u64>,
    pub(super) nice: i32,
    pub(super) user: Option<(u32, u32)>,
    pub(super) landlock: bool,
    pub(super) hide: Vec<PathBuf>,
    pub(super) open: Vec<PathBuf>,
    pub(super) cwd: PathBuf,
    /// The gateway's process id, once the launcher has seen it.
    #[serde(default)]
    gateway: i32,
    /// The process id of the one that watches, once there is one.
    #[serde(default)]
    pub(super) watcher: i32,
}

/// A program to start, with its surroundings.
pub struct Launch<'a> {
    /// What to run.
    pub program: &'a Program,
    /// Variables with its secrets.
    pub secrets: &'a [(String, Zeroizing<Vec<u8>>)],
    /// Limits.
    pub config: &'a StdioConfig,
    /// Bounds on what it sends.
    pub stream: StreamLimits,
    /// The folder that is its own.
    pub folder: Folder,
    /// What it must not see.
    pub hide: &'a [PathBuf],
}

impl Launch<'_> {
    /// The command that starts it, with its folders made.
    pub(super) fn command(&self) -> std::io::Result<Command> {
        let (home, scratch) = (self.folder.path.join("home"), self.folder.path.join("tmp"));
        let user = (self.config.uid != 0).then_some((self.config.uid, self.config.gid));
        for folder in [&home, &scratch] {
            std::fs::create_dir_all(folder)?;
            if let Some((uid, gid)) = user {
                std::os::unix::fs::chown(folder, Some(uid), Some(gid))?;
            }
        }
        let some = |limit: u64| (limit > 0).then_some(limit);
        let orders = Orders {
            stop_ms: self.config.stop_seconds.saturating_mul(1000),
            memory_bytes: self.config.memory_mb.saturating_mul(1024 * 1024),
            processes: self.config.processes,
            data_bytes: some(self.config.data_mb.saturating_mul(1024 * 1024)),
            cpu_seconds: some(self.config.cpu_seconds),
            files: some(self.config.files),
            nice: self.config.nice,
            user,
            landlock: self.config.landlock,
            hide: self.hide.to_vec(),
            open: vec![self.folder.path.clone()],
            cwd: self.program.cwd.as_ref().map_or_else(|| home.clone(), PathBuf::from),
            gateway: 0,
            watcher: 0,
        };
        let mut command = Command::new(SELF);
        command.arg0("aerostack").arg(SPAWN).arg(serde_json::to_string(&orders)?);
        command.arg(&self.program.command).args(&self.program.args);
        command.env_clear().env("HOME", &home).env("TMPDIR", &scratch);
        for name in self.config.environment.iter().chain(&self.program.pass_env) {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.envs(&self.program.env);
        for (name, value) in self.secrets {
            command.env(name, std::os::unix::ffi::OsStrExt::from_bytes(value.as_slice()) as &std::ffi::OsStr);
        }
        Ok(command)
    }
}

/// Whether a process that was told this first is one of ours, or will be the program in a moment.
pub(super) fn is_step(told: &[u8]) -> bool {
    [SPAWN, WATCH, EXEC].iter().any(|step| step.as_bytes() == told)
}

/// Is this process a launcher? Then it does its work here, and this is how it ended.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut args = args.into_iter().skip(1);
    let step = args.next()?;
    if !is_step(step.as_encoded_bytes()) {
        return None;
    }
    let orders = args.next().and_then(|text| serde_json::from_str::<Orders>(text.to_str()?).ok());
    let command: Vec<OsString> = args.collect();
    let ended = match orders {
        None => Err("this command is the gateway's own".to_owned()),
        Some(orders) if step == SPAWN => guard(orders, &command),
        Some(orders) if step == WATCH => watch(orders, &command),
        Some(orders) => Err(become_program(&orders, &command)),
    };
    Some(ExitCode::from(ended.unwrap_or_else(|cause| {
        say(&cause);
        NOT_STARTED
    })))
}

fn failed(what: &'static str) -> impl Fn(rustix::io::Errno) -> String {
    move |cause| format!("{what}: {cause}")
}

/// Adopts whatever will descend from this process, and shows nobody its memory. The name is for whoever looks at the
/// machine, and is not the gateway's: who kills that one by its name does not kill those that clean up after it.
fn adopt(name: &CStr) -> Result<(), String> {
    rustix::thread::set_name(name).map_err(failed("taking a name"))?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(failed("closing its memory"))?;
    rustix::process::set_child_subreaper(Some(getpid())).map_err(failed("becoming subreaper"))
}

/// The next step, with what it is told.
fn next(step: &str, orders: &Orders, command: &[OsString]) -> Result<Command, String> {
    let told = serde_json::to_string(orders).map_err(|cause| cause.to_string())?;
    let mut next = Command::new(SELF);
    next.arg0("aerostack").arg(step).arg(told).args(command);
    Ok(next)
}

fn id(child: &Child) -> Result<Pid, String> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or_else(|| "it has no process id".into())
}

/// Output is the family's: when they are gone, the gateway reads its end.
fn let_go_of_output() -> Result<(), String> {
    let nowhere = std::fs::File::options().write(true).open("/dev/null").map_err(|cause| cause.to_string())?;
    rustix::stdio::dup2_stdout(&nowhere).map_err(failed("letting go of its output"))
}

/// The launcher: waits for the one that watches, and ends the family if that could not.
fn guard(mut orders: Orders, command: &[OsString]) -> Result<Code, String> {
    orders.gateway = getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    // What whoever started the gateway left open is nobody else's either.
    close_fds::set_fds_cloexec_threadsafe(3, &[]);
    adopt(c"mcp-launcher")?;
    // A session of its own: no signal of a terminal reaches it. It leads none yet, so this cannot fail.
    let _leads_already = rustix::process::setsid();
    let mut watcher = next(WATCH, &orders, command)?.spawn().map_err(|cause| format!("starting it: {cause}"))?;
    let main = id(&watcher)?;
    let_go_of_output()?;
    let ended = watcher.wait().map_err(|cause| format!("waiting for it: {cause}"))?;
    if let Some(code) = ended.code() {
        return Ok(Code::try_from(code).unwrap_or(255));
    }
    tree::end(main, &mut None, LEFTOVER);
    Ok(128 + ended.signal().and_then(|signal| Code::try_from(signal).ok()).unwrap_or(0))
}

/// The one that watches: starts the program, and ends all of its family in the end.
fn watch(mut orders: Orders, command: &[OsString]) -> Result<Code, String> {
    let gateway = Pid::from_raw(orders.gateway).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    adopt(c"mcp-watcher")?;
    orders.watcher = getpid().as_raw_nonzero().get();
    let child = next(EXEC, &orders, command)?.process_group(0).spawn();
    let main = id(&child.map_err(|cause| format!("starting it: {cause}"))?)?;
    let_go_of_output()?;
    Ok(Family { orders, main, gateway, ended: None }.watch().unwrap_or(255))
}

/// The program and everything that came of it.
struct Family {
    orders: Orders,
    main: Pid,
    /// None: gone before it could be looked at.
    gateway: Option<OwnedFd>,
    ended: Option<Code>,
}

impl Family {
    /// Returns when nobody is left.
    fn watch(mut self) -> Option<Code> {
        let Ok(exit) = pidfd_open(self.main, PidfdFlags::empty()) else {
            tree::end(self.main, &mut self.ended, Duration::ZERO);
            return self.ended;
        };
        loop {
            let closed = self.wait(&exit, ROUND, true);
            let _none_left = tree::reap(self.main, &mut self.ended);
            let grace = if self.ended.is_some() {
                LEFTOVER
            } else if closed {
                self.stop(&exit)
            } else if self.is_too_much() {
                LEFTOVER
            } else {
                continue;
            };
            tree::end(self.main, &mut self.ended, grace);
            return self.ended;
        }
    }

    /// Whether the gateway is gone.
    fn is_abandoned(&self) -> bool {
        let Some(gateway) = &self.gateway else { return true };
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(gateway, PollFlags::IN)], Some(&at_once)).is_ok_and(|ended| ended > 0)
    }

    /// Waits until the program ends or (`input`) its input is closed, at most `limit`; whether it is closed.
    fn wait(&self, exit: &OwnedFd, limit: Duration, input: bool) -> bool {
        let stdin = std::io::stdin();
        // Without any event asked for, only the end of all writers is told, and nothing is read.
        let mut watched = [PollFd::new(exit, PollFlags::IN), PollFd::new(&stdin, PollFlags::empty())];
        let limit = Timespec { tv_sec: 0, tv_nsec: limit.subsec_nanos().into() };
        let watched = if input { &mut watched[..] } else { watched.get_mut(..1).unwrap_or_default() };
        let _interrupted = poll(watched, Some(&limit));
        watched
            .get(1)
            .is_some_and(|stdin| stdin.revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL))
    }

    /// The input is closed: the program gets half the time to end by itself, and the other half once it was asked to.
    /// When the gateway is gone there is nobody to wait for.
    fn stop(&mut self, exit: &OwnedFd) -> Duration {
        let half = Duration::from_millis(self.orders.stop_ms / 2);
        let begun = clock::instant();
        while self.ended.is_none() && begun.elapsed() < half && !self.is_abandoned() {
            self.wait(exit, Duration::from_millis(50), false);
            let _none_left = tree::reap(self.main, &mut self.ended);
        }
        match self.ended {
            Some(_) => LEFTOVER,
            None if self.is_abandoned() => ORPHANED.min(half),
            None => half,
        }
    }

    fn is_too_much(&self) -> bool {
        let family = tree::descendants();
        let (most, bytes) = (self.orders.processes, self.orders.memory_bytes);
        if most > 0 && family.len() > most {
            say(&format!("ended: {} processes, at most {most} are allowed (stdio.processes)", family.len()));
            return true;
        }
        let resident = if bytes > 0 { tree::resident(&family) } else { 0 };
        if resident > bytes {
            let mb = bytes / (1024 * 1024);
            say(&format!("ended: its processes use more than {mb} MB (stdio.memory_mb)"));
            return true;
        }
        false
    }
}
