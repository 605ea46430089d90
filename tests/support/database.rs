//! Databases for tests. SQLite needs a folder; Postgres gets a private cluster per test process, started when the
//! first test asks, with a fresh database per test. The cluster's keeper is a shell that waits for the end of its
//! standard input: the test process holds the other end, so however it ends, Postgres stops and its folder goes.
//! Depends on the standard library only, because unit and integration tests both include this file.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Starts Postgres on a socket in a fresh folder, says where, waits for end of input, stops it and cleans up.
const KEEPER: &str = r#"
trap '' INT TERM HUP
dir=$(mktemp -d /tmp/pgtest.XXXXXX) || exit 1
"$1/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C -N >"$dir/log" 2>&1 || { cat "$dir/log" >&2; rm -rf "$dir"; exit 1; }
"$1/postgres" -D "$dir/data" -k "$dir" -c listen_addresses= -c fsync=off -c synchronous_commit=off \
    -c full_page_writes=off -c max_connections=300 -c shared_buffers=32MB >"$dir/log" 2>&1 </dev/null &
pid=$!
i=0
until grep -q 'ready to accept connections' "$dir/log"; do
    i=$((i+1)); [ $i -gt 600 ] && break; kill -0 $pid 2>/dev/null || break; sleep 0.05
done
if kill -0 $pid 2>/dev/null; then echo "$dir"; else cat "$dir/log" >&2; echo; fi
cat >/dev/null
kill -QUIT $pid 2>/dev/null; wait $pid 2>/dev/null
rm -rf "$dir"
"#;

struct Cluster {
    socket_dir: String,
    bin: PathBuf,
    as_postgres: bool,
    // Holding the child holds the writing end of its input.
    _keeper: Child,
}

static CLUSTER: OnceLock<Result<Cluster, String>> = OnceLock::new();
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// The URL of a fresh, empty Postgres database; `None` when there is no Postgres here, which is said loudly.
///
/// # Panics
/// When Postgres is missing or broken and `AEROSTACK_REQUIRE_POSTGRES=1`.
pub fn fresh_postgres() -> Option<String> {
    let made = CLUSTER.get_or_init(start).as_ref().map_err(Clone::clone).and_then(create_database);
    match made {
        Ok(url) => Some(url),
        Err(why) => {
            assert!(std::env::var("AEROSTACK_REQUIRE_POSTGRES").as_deref() != Ok("1"), "Postgres is required: {why}");
            eprintln!("SKIPPED: Postgres half of this test: {why}");
            None
        }
    }
}

fn start() -> Result<Cluster, String> {
    let bin = find_bin().ok_or("no initdb under /usr/lib/postgresql/*/bin or on PATH")?;
    let as_postgres = am_root();
    let mut keeper = command(as_postgres, "sh")
        .args(["-c", KEEPER, "keeper"])
        .arg(&bin)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|cause| format!("cannot start the keeper: {cause}"))?;
    let mut line = String::new();
    let stdout = keeper.stdout.take().ok_or("no output")?;
    BufReader::new(stdout).read_line(&mut line).map_err(|cause| cause.to_string())?;
    let socket_dir = line.trim().to_owned();
    if socket_dir.is_empty() {
        return Err("Postgres did not start (its output is above)".into());
    }
    Ok(Cluster { socket_dir, bin, as_postgres, _keeper: keeper })
}

fn create_database(cluster: &Cluster) -> Result<String, String> {
    let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let made = command(cluster.as_postgres, cluster.bin.join("createdb"))
        .args(["-h", &cluster.socket_dir, "-U", "postgres", &name])
        .stdin(Stdio::null())
        .output()
        .map_err(|cause| cause.to_string())?;
    if !made.status.success() {
        return Err(String::from_utf8_lossy(&made.stderr).into_owned());
    }
    Ok(format!("postgres://postgres@localhost/{name}?host={}", cluster.socket_dir.replace('/', "%2F")))
}

/// Postgres refuses to run as root, so root runs it as the user its package made.
fn command(as_postgres: bool, program: impl AsRef<Path>) -> Command {
    if as_postgres {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program.as_ref());
        command.current_dir("/");
        command
    } else {
        Command::new(program.as_ref())
    }
}

fn am_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

fn find_bin() -> Option<PathBuf> {
    let packaged = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = packaged.map(|version| version.path().join("bin")).collect();
    found.sort();
    found.reverse();
    found.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    let complete = |folder: &PathBuf| ["initdb", "postgres", "createdb"].iter().all(|name| folder.join(name).is_file());
    found.into_iter().find(complete)
}
