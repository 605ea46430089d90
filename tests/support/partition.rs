//! A network between a gateway and its Postgres that can be parted: connections stay, and nothing passes.

use std::{
    io::{Read as _, Write as _},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex},
};

/// Parted or not.
#[derive(Default)]
struct Gate {
    shut: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn pass(&self) {
        let shut = self.shut.lock().expect("nobody panicked");
        drop(self.opened.wait_while(shut, |shut| *shut).expect("nobody panicked"));
    }
}

/// See the module. Heals when dropped.
pub struct Partition {
    gate: Arc<Gate>,
    _folder: tempfile::TempDir,
}

impl Partition {
    /// In front of the Postgres at `url`; also the URL by which it is reached through here.
    pub fn before(url: &str) -> (Partition, String) {
        let folder = tempfile::tempdir().expect("a folder");
        let (database, host) = url.split_once("?host=").expect("a Postgres at a socket");
        let real: PathBuf = Path::new(&host.replace("%2F", "/")).join(SOCKET);
        let listener = UnixListener::bind(folder.path().join(SOCKET)).expect("a socket");
        let gate = Arc::new(Gate::default());
        let through = gate.clone();
        std::thread::spawn(move || {
            for near in listener.incoming() {
                through.pass();
                let (Ok(near), Ok(far)) = (near, UnixStream::connect(&real)) else { return };
                let both = (near.try_clone().expect("a copy"), far.try_clone().expect("a copy"));
                carry(near, far, through.clone());
                carry(both.1, both.0, through.clone());
            }
        });
        let host = folder.path().to_str().expect("a path").replace('/', "%2F");
        (Partition { gate, _folder: folder }, format!("{database}?host={host}"))
    }

    /// From now on nothing passes, until [`Partition::heal`].
    pub fn part(&self) {
        *self.gate.shut.lock().expect("nobody panicked") = true;
    }

    /// What waited passes, and everything after it.
    pub fn heal(&self) {
        *self.gate.shut.lock().expect("nobody panicked") = false;
        self.gate.opened.notify_all();
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        self.heal();
    }
}

const SOCKET: &str = ".s.PGSQL.5432";

fn carry(mut from: UnixStream, mut to: UnixStream, gate: Arc<Gate>) {
    std::thread::spawn(move || {
        let mut piece = [0; 16 * 1024];
        while let Ok(read @ 1..) = from.read(&mut piece) {
            gate.pass();
            if to.write_all(&piece[..read]).is_err() {
                break;
            }
        }
        let _already_gone = (to.shutdown(Shutdown::Both), from.shutdown(Shutdown::Both));
    });
}
