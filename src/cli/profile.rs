//! Saved gateways: `config.toml` (URL, workspace, no secrets), `credentials.toml` (API keys, mode 0600) and
//! `tokens.toml` (workspace tokens by gateway URL, for `connect`; mode 0600) in `$AEROSTACK_CONFIG_DIR`, else
//! `$XDG_CONFIG_HOME/aerostack`, else `~/.config/aerostack`.
//!
//! A key belongs to the URL it was saved with: it is never sent elsewhere, whatever `AEROSTACK_URL` says. A credentials
//! file that others can read is refused, not repaired: whoever could read it may have.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    sync::mpsc,
    time::Duration,
};

use etcetera::BaseStrategy as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::{
    failure::{Failure, Outcome},
    text,
};
use crate::{
    domain::clock,
    error::{Error, ErrorCode, Result},
};

/// Longest wait for another command that saves something.
const LOCKED: Duration = Duration::from_secs(10);

/// What is saved about one gateway, without its key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// URL of the gateway.
    pub url: String,
    /// Workspace chosen with `workspace use`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// Namespace chosen with `team use`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Output format unless another is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

/// `config.toml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profiles {
    /// The profile used unless another is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// All of them.
    #[serde(default)]
    pub profiles: BTreeMap<String, Profile>,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Credential {
    api_key: String,
    /// The key was made for this profile, so that logging out revokes it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    made_by_login: bool,
}

type Credentials = BTreeMap<String, Credential>;

/// The folder with both files, for this user.
pub fn folder() -> Option<PathBuf> {
    ProfileStore::of_this_user().ok().map(|store| store.folder)
}

/// The folder with both files.
#[derive(Debug, Clone)]
pub struct ProfileStore {
    folder: PathBuf,
}

impl ProfileStore {
    /// The store of this user.
    pub fn of_this_user() -> Outcome<Self> {
        if let Some(folder) = std::env::var_os("AEROSTACK_CONFIG_DIR").filter(|f| !f.is_empty()) {
            return Ok(ProfileStore { folder: folder.into() });
        }
        let base = etcetera::choose_base_strategy().map_err(|error| {
            Failure::local(format!("cannot find the home folder: {error}")).with_hint("set AEROSTACK_CONFIG_DIR")
        })?;
        Ok(ProfileStore { folder: base.config_dir().join("aerostack") })
    }
    /// A store in `folder`.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        ProfileStore { folder: folder.into() }
    }
    fn config_file(&self) -> PathBuf {
        self.folder.join("config.toml")
    }
    fn tokens_file(&self) -> PathBuf {
        self.folder.join("tokens.toml")
    }
    fn credentials_file(&self) -> PathBuf {
        self.folder.join("credentials.toml")
    }

    /// Reads `config.toml`; none is the same as an empty one.
    pub fn profiles(&self) -> Outcome<Profiles> {
        read_toml(&self.config_file())
    }
    /// Changes `config.toml` as it is now; gives back what it is then.
    pub fn change_profiles(&self, change: impl FnOnce(&mut Profiles)) -> Outcome<Profiles> {
        self.alone(|| {
            let mut profiles = self.profiles()?;
            change(&mut profiles);
            self.write(&self.config_file(), &to_toml(&profiles)?)?;
            Ok(profiles)
        })
    }
    /// The API key of a profile.
    pub fn api_key(&self, profile: &str) -> Outcome<Option<SecretString>> {
        Ok(self.credentials()?.remove(profile).map(|c| SecretString::from(c.api_key)))
    }
    /// Whether the API key of a profile was made for it.
    pub fn made_by_login(&self, profile: &str) -> Outcome<bool> {
        Ok(self.credentials()?.get(profile).is_some_and(|saved| saved.made_by_login))
    }
    /// Saves the API key of a profile. Whoever calls this is [`alone`](Self::alone).
    fn save_api_key(&self, profile: &str, key: &SecretString, made_by_login: bool) -> Outcome {
        let mut all = self.credentials()?;
        all.insert(profile.to_owned(), Credential { api_key: key.expose_secret().to_owned(), made_by_login });
        self.write(&self.credentials_file(), &to_toml(&all)?)
    }
    /// Forgets the API key of a profile; says whether there was one.
    pub fn forget_api_key(&self, profile: &str) -> Outcome<bool> {
        self.alone(|| {
            let mut all = self.credentials()?;
            let had = all.remove(profile).is_some();
            if had {
                self.write(&self.credentials_file(), &to_toml(&all)?)?;
            }
            Ok(had)
        })
    }

    /// The workspace tokens that are saved, by gateway URL.
    pub fn saved_tokens(&self) -> Outcome<BTreeMap<String, SecretString>> {
        let file = self.tokens_file();
        refuse_if_shared(&file)?;
        let all: BTreeMap<String, String> = read_toml(&file)?;
        Ok(all.into_iter().map(|(url, token)| (url, SecretString::from(token))).collect())
    }
    /// The workspace token saved for a gateway URL.
    pub fn workspace_token(&self, url: &str) -> Outcome<Option<SecretString>> {
        Ok(self.saved_tokens()?.remove(url.trim_end_matches('/')))
    }
    /// Saves the workspace token of a gateway URL.
    pub fn save_workspace_token(&self, url: &str, token: &SecretString) -> Outcome {
        self.alone(|| {
            let file = self.tokens_file();
            refuse_if_shared(&file)?;
            let mut all: BTreeMap<String, String> = read_toml(&file)?;
            all.insert(url.trim_end_matches('/').to_owned(), token.expose_secret().to_owned());
            self.write(&file, &to_toml(&all)?)
        })
    }

    /// Whether something was not said today. From now on it was. Nothing that cannot be written down is news.
    pub fn is_news(&self, what: &str) -> bool {
        let file = self.folder.join("notices.toml");
        let mut said: BTreeMap<String, String> = read_toml(&file).unwrap_or_default();
        let today = text::date(clock::now());
        if said.get(what) == Some(&today) {
            return false;
        }
        said.retain(|_, day| *day == today);
        said.insert(what.to_owned(), today);
        to_toml(&said).and_then(|text| self.write(&file, &text)).is_ok()
    }

    fn credentials(&self) -> Outcome<Credentials> {
        let file = self.credentials_file();
        refuse_if_shared(&file)?;
        read_toml(&file)
    }

    /// Reads, changes and writes while no other command does, so that neither loses what the other saved.
    fn alone<T>(&self, work: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
        let path = self.folder.join("lock");
        let cannot = |error: std::io::Error| Failure::local(format!("cannot lock {}: {error}", path.display()));
        make_private_folder(&self.folder).map_err(cannot)?;
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(cannot)?;
        let (locked, waiting) = mpsc::channel();
        // The system's lock has no deadline; a lock that comes too late is let go with its file.
        std::thread::spawn(move || locked.send(file.lock().map(|()| file)));
        let _held = match waiting.recv_timeout(LOCKED) {
            Ok(held) => held.map_err(cannot)?,
            Err(_too_long) => {
                return Err(Failure::local(format!("another command holds {}", path.display()))
                    .with_hint("try again when it is done"));
            }
        };
        work()
    }

    /// Replaces a file as a whole, mode 0600, in a folder of mode 0700.
    fn write(&self, file: &Path, text: &str) -> Outcome {
        let cannot = |error: std::io::Error| Failure::local(format!("cannot write {}: {error}", file.display()));
        make_private_folder(&self.folder).map_err(cannot)?;
        let mut draft = tempfile::Builder::new().prefix(".aerostack-").tempfile_in(&self.folder).map_err(cannot)?;
        draft.write_all(text.as_bytes()).map_err(cannot)?;
        draft.as_file().sync_all().map_err(cannot)?;
        draft.persist(file).map_err(|error| cannot(error.error))?;
        Ok(())
    }
}

#[cfg(unix)]
fn make_private_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn make_private_folder(folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)
}

#[cfg(unix)]
fn refuse_if_shared(file: &Path) -> Outcome {
    use std::os::unix::fs::PermissionsExt as _;
    match fs::metadata(file) {
        Ok(meta) if meta.permissions().mode() & 0o077 != 0 => {
            Err(Failure::local(format!("{} can be read by other users", file.display()))
                .with_hint(format!("chmod 600 {}   (and think about replacing the keys in it)", file.display())))
        }
        _ => Ok(()),
    }
}

#[cfg(not(unix))]
fn refuse_if_shared(_file: &Path) -> Outcome {
    Ok(())
}

fn read_toml<T: Default + for<'de> Deserialize<'de>>(file: &Path) -> Outcome<T> {
    match fs::read_to_string(file) {
        // The parser's message can quote the file's text, so only its place is told.
        Ok(text) => toml::from_str(&text).map_err(|_secret| {
            Failure::local(format!("{} is not readable as TOML", file.display()))
                .with_hint("repair it, or remove it and log in again")
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(T::default()),
        Err(error) => Err(Failure::local(format!("cannot read {}: {error}", file.display()))),
    }
}

fn to_toml<T: Serialize>(value: &T) -> Outcome<String> {
    toml::to_string(value).map_err(|error| Failure::local(format!("cannot write the profile: {error}")))
}

/// Saves the key of the gateway on this machine and makes it the current profile: the first start of `serve` calls this,
/// so that every command works at once on that machine. Returns the folder it wrote to.
pub fn write_local(url: &str, api_key: &SecretString, profile_name: &str) -> Result<PathBuf> {
    let save = || -> Outcome<PathBuf> {
        let store = ProfileStore::of_this_user()?;
        save_login(&store, profile_name, url, api_key, false)?;
        Ok(store.folder)
    };
    save().map_err(|failure| {
        Error::new(ErrorCode::Internal, format!("Profile \"{profile_name}\" not saved: {}", failure.headline()))
    })
}

/// Saves URL and key under `name` and makes it current. What was chosen stays if the URL does. `made`: the key was made
/// for this profile.
pub fn save_login(store: &ProfileStore, name: &str, url: &str, api_key: &SecretString, made: bool) -> Outcome {
    store.alone(|| {
        store.save_api_key(name, api_key, made)?;
        let mut profiles = store.profiles()?;
        let entry = profiles.profiles.entry(name.to_owned()).or_default();
        if entry.url != url {
            *entry = Profile { url: url.to_owned(), ..Profile::default() };
        }
        profiles.current = Some(name.to_owned());
        store.write(&store.config_file(), &to_toml(&profiles)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_saved_and_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let store = ProfileStore::at(folder.path().join("aerostack"));
        save_login(&store, "local", "http://127.0.0.1:8787", &SecretString::from("aak_x"), false).unwrap();
        assert_eq!(store.profiles().unwrap().current.as_deref(), Some("local"));
        assert_eq!(store.api_key("local").unwrap().unwrap().expose_secret(), "aak_x");
        assert!(!fs::read_to_string(store.config_file()).unwrap().contains("aak_x"), "no key in config.toml");
        assert!(store.forget_api_key("local").unwrap());
        assert!(store.api_key("local").unwrap().is_none());
    }

    #[cfg(unix)]
    #[test]
    fn keys_are_private_and_a_shared_file_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let store = ProfileStore::at(folder.path().join("aerostack"));
        save_login(&store, "local", "https://h", &SecretString::from("aak_x"), false).unwrap();
        let file = store.credentials_file();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&store.folder).unwrap().permissions().mode() & 0o777, 0o700);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let failure = store.api_key("local").unwrap_err();
        assert!(failure.headline().contains("can be read by other users"), "{failure:?}");
    }

    #[test]
    fn of_many_commands_at_once_none_loses_what_another_saved() {
        let folder = tempfile::tempdir().unwrap();
        let store = ProfileStore::at(folder.path().join("aerostack"));
        let names: Vec<String> = (0..12).map(|n| format!("p{n}")).collect();
        std::thread::scope(|scope| {
            for name in &names {
                let store = &store;
                scope.spawn(move || {
                    let (url, secret) = (format!("https://{name}.example"), SecretString::from(name.as_str()));
                    save_login(store, name, &url, &secret, false).unwrap();
                    store.save_workspace_token(&url, &secret).unwrap();
                    let chosen = |profiles: &mut Profiles| {
                        profiles.profiles.get_mut(name).unwrap().workspace = Some(name.clone());
                    };
                    store.change_profiles(chosen).unwrap();
                });
            }
        });
        let (profiles, tokens) = (store.profiles().unwrap(), store.saved_tokens().unwrap());
        for name in &names {
            assert_eq!(store.api_key(name).unwrap().unwrap().expose_secret(), name);
            assert_eq!(profiles.profiles[name].workspace.as_ref(), Some(name));
            assert_eq!(tokens[&format!("https://{name}.example")].expose_secret(), name);
        }
    }

    #[test]
    fn a_broken_credentials_file_does_not_show_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let store = ProfileStore::at(folder.path().join("aerostack"));
        save_login(&store, "local", "https://h", &SecretString::from("aak_CANARY"), false).unwrap();
        let mut text = fs::read_to_string(store.credentials_file()).unwrap();
        text.push_str("aak_CANARY = [");
        store.write(&store.credentials_file(), &text).unwrap();
        let failure = store.api_key("local").unwrap_err();
        assert!(!format!("{failure:?}").contains("CANARY"), "{failure:?}");
    }
}
