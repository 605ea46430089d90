//! Which gateway, which key, which workspace: worked out once per command. Flag, then environment, then profile, then
//! default. A saved key is used for the URL it was saved with and for no other.

use clap::ValueEnum as _;
use secrecy::SecretString;
use url::Url;

use super::{
    args::{Format, GlobalArgs},
    client::Client,
    failure::{Failure, Outcome},
    output::shows_pictures,
    profile::{Profile, ProfileStore, Profiles},
};
use crate::domain::{near, server::http_url};

/// Where `aerostack serve` listens unless told otherwise.
const DEFAULT_URL: &str = "http://127.0.0.1:8787";

/// Hides the notice that the gateway has another version.
const NO_NOTICE: &str = "AEROSTACK_NO_UPDATE_NOTICE";
/// The version of this program.
pub const OWN_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Whether another program differs in more than its last number.
pub fn is_another_version(theirs: &str) -> bool {
    let line = |version: &str| version.split('.').take(2).map(str::to_owned).collect::<Vec<_>>();
    line(theirs) != line(OWN_VERSION)
}

/// What a command works with.
pub struct Session {
    /// Options that every command takes.
    pub global: GlobalArgs,
    /// The saved gateways.
    pub store: ProfileStore,
    /// `config.toml` as it was read.
    pub profiles: Profiles,
    chosen: Option<String>,
    url: Url,
    /// The key in the environment is for this gateway.
    environment: bool,
    client: Option<Client>,
}

impl Session {
    /// Reads the saved gateways and chooses one.
    pub fn open(global: GlobalArgs) -> Outcome<Self> {
        Session::at(global, ProfileStore::of_this_user()?)
    }
    /// The same, with the saved gateways of `store`.
    pub(super) fn at(global: GlobalArgs, store: ProfileStore) -> Outcome<Self> {
        let profiles = store.profiles()?;
        Session::choose(global, store, profiles)
    }

    fn choose(global: GlobalArgs, store: ProfileStore, profiles: Profiles) -> Outcome<Self> {
        let asked = global.gateway.as_deref().filter(|url| !url.is_empty()).map(parse_url).transpose()?;
        let named = global.profile.clone().filter(|name| !name.is_empty());
        let chosen = match (&named, &asked) {
            (Some(name), _) => Some(name.clone()),
            (None, Some(url)) => profile_of(&profiles, url),
            (None, None) => profiles.current.clone().filter(|name| profiles.profiles.contains_key(name)),
        };
        let saved = chosen.as_ref().and_then(|name| profiles.profiles.get(name));
        let url = match (asked, saved) {
            (Some(url), _) => url,
            (None, Some(profile)) => parse_url(&profile.url)?,
            (None, None) => parse_url(DEFAULT_URL)?,
        };
        Ok(Session { global, store, profiles, chosen, url, environment: true, client: None })
    }

    /// Goes to the gateway of a link instead. Whoever wrote the link chose that gateway, so the key in the environment
    /// goes there only if it would have gone there without the link.
    pub fn follow(self, gateway: &Url) -> Outcome<Self> {
        let environment = same_origin(self.url.as_str(), gateway);
        let global = GlobalArgs { gateway: Some(gateway.to_string()), ..self.global };
        Ok(Session { environment, ..Session::choose(global, self.store, self.profiles)? })
    }

    /// The gateway's URL.
    pub fn url(&self) -> &Url {
        &self.url
    }
    /// Name of the chosen profile, saved or not.
    pub fn profile_name(&self) -> Option<&str> {
        self.chosen.as_deref()
    }
    /// The chosen profile, if it is saved.
    pub fn profile(&self) -> Option<&Profile> {
        self.chosen.as_ref().and_then(|name| self.profiles.profiles.get(name))
    }
    /// The output format the profile asks for.
    pub fn output(&self) -> Option<Format> {
        self.profile()?.output.as_deref().and_then(|text| Format::from_str(text, true).ok())
    }

    /// The connection, with the key that belongs to it.
    pub fn client(&mut self) -> Outcome<&Client> {
        let client = match self.client.take() {
            Some(client) => client,
            None => {
                let key = self.api_key()?;
                self.connection(Some(&key))?.acting_in(self.namespace())
            }
        };
        Ok(self.client.insert(client))
    }
    /// A connection with another key (a login that is not saved yet), in its own namespace unless one was named.
    pub fn client_with(&self, key: &SecretString) -> Outcome<Client> {
        let namespace = self.global.namespace.clone();
        Ok(self.connection(Some(key))?.acting_in(namespace))
    }
    /// A connection for what needs no key.
    pub fn client_without_key(&self) -> Outcome<Client> {
        self.connection(None)
    }
    fn connection(&self, key: Option<&SecretString>) -> Outcome<Client> {
        let client = Client::new(self.url.clone(), key, self.global.verbose)?;
        Ok(client.showing(!self.global.quiet && shows_pictures()))
    }
    /// The namespace to act in: the flag, `AEROSTACK_NAMESPACE`, or the one chosen with `team use`; none: the key's own.
    fn namespace(&self) -> Option<String> {
        let named = self.global.namespace.clone().filter(|name| !name.is_empty());
        named.or_else(|| self.profile()?.namespace.clone())
    }

    /// The key that belongs to the gateway.
    pub fn api_key(&self) -> Outcome<SecretString> {
        let given = std::env::var("AEROSTACK_API_KEY").ok().filter(|key| self.environment && !key.is_empty());
        given.map_or_else(|| self.saved_key(), |key| Ok(SecretString::from(key)))
    }
    /// The key that is saved in the profile, whatever the environment says.
    pub fn saved_key(&self) -> Outcome<SecretString> {
        if let (Some(name), None) = (&self.chosen, self.profile()) {
            return Err(no_such_profile(&self.profiles, name));
        }
        let saved = match (self.profile_name(), self.profile()) {
            (Some(name), Some(profile)) if same_origin(&profile.url, &self.url) => self.store.api_key(name)?,
            _ => None,
        };
        saved.ok_or_else(|| {
            Failure::not_logged_in(format!("Not logged in to {}", self.url.as_str().trim_end_matches('/')))
                .with_hint(format!("aerostack login --url {}", self.url.as_str().trim_end_matches('/')))
        })
    }

    /// That the gateway has another version, at most once a day and gateway.
    pub fn version_notice(&self) -> Option<String> {
        let theirs = self.client.as_ref()?.last()?.version?;
        if !is_another_version(&theirs) || std::env::var_os(NO_NOTICE).is_some_and(|value| !value.is_empty()) {
            return None;
        }
        self.store.is_news(&theirs).then(|| {
            format!("This is aerostack {OWN_VERSION}, the gateway is {theirs}: they may not fit together. ({NO_NOTICE}=1 hides this.)")
        })
    }

    /// The workspace meant: the flag, `AEROSTACK_WORKSPACE`, or the one chosen with `workspace use`.
    pub fn workspace(&self, flag: Option<String>) -> Outcome<String> {
        self.workspace_if_any(flag).ok_or_else(|| {
            Failure::usage("Which workspace?")
                .with_hint("name it, or choose one for all commands: aerostack workspace use NAME")
        })
    }
    /// The same, where a command also makes sense without one.
    pub fn workspace_if_any(&self, flag: Option<String>) -> Option<String> {
        flag.or_else(|| std::env::var("AEROSTACK_WORKSPACE").ok())
            .filter(|slug| !slug.is_empty())
            .or_else(|| self.profile()?.workspace.clone())
    }
}

/// An http(s) URL without credentials, query and fragment.
pub fn parse_url(text: &str) -> Outcome<Url> {
    let shown = text.split('@').next_back().unwrap_or_default();
    let bad = |why: &str| Failure::usage(format!("\"{shown}\" is not the URL of a gateway: {why}"));
    let url = http_url(text).map_err(|cause| bad(&cause))?;
    match () {
        () if !url.username().is_empty() || url.password().is_some() => Err(bad("it must not hold credentials")),
        () if url.query().is_some() || url.fragment().is_some() => Err(bad("it must not have a query or fragment")),
        () => Ok(url),
    }
}

/// Whether a saved URL is the gateway at `url`.
pub fn same_origin(saved: &str, url: &Url) -> bool {
    Url::parse(saved).is_ok_and(|saved| {
        saved.origin() == url.origin() && saved.path().trim_end_matches('/') == url.path().trim_end_matches('/')
    })
}

fn profile_of(profiles: &Profiles, url: &Url) -> Option<String> {
    let current =
        profiles.current.iter().filter(|name| profiles.profiles.get(*name).is_some_and(|p| same_origin(&p.url, url)));
    let others = profiles.profiles.iter().filter(|(_, p)| same_origin(&p.url, url)).map(|(name, _)| name);
    current.chain(others).next().cloned()
}

/// Names the profile that may have been meant.
pub fn no_such_profile(profiles: &Profiles, name: &str) -> Failure {
    Failure::not_found(near::no_such("profile", name, profiles.profiles.keys().map(String::as_str)))
        .with_hint("aerostack profile list")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::profile::save_login;

    fn profiles() -> Profiles {
        let profile = |url: &str| Profile { url: url.into(), ..Profile::default() };
        Profiles {
            current: Some("local".into()),
            profiles: [
                ("local".to_owned(), profile("http://127.0.0.1:8787")),
                ("prod".to_owned(), profile("https://mcp.example.com")),
            ]
            .into(),
        }
    }

    fn session(url: Option<&str>, name: Option<&str>) -> (Session, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let store = ProfileStore::at(folder.path().join("c"));
        for (name, key) in [("local", "aak_local"), ("prod", "aak_prod")] {
            save_login(&store, name, "https://h", &SecretString::from(key), false).unwrap();
        }
        let global =
            GlobalArgs { gateway: url.map(Into::into), profile: name.map(Into::into), ..GlobalArgs::default() };
        (Session::choose(global, store, profiles()).unwrap(), folder)
    }

    #[test]
    fn a_saved_key_goes_only_to_its_own_gateway() {
        use secrecy::ExposeSecret as _;
        assert_eq!(session(None, None).0.api_key().unwrap().expose_secret(), "aak_local");
        assert_eq!(session(Some("https://mcp.example.com/"), None).0.api_key().unwrap().expose_secret(), "aak_prod");
        for (url, name) in [
            (Some("https://evil.example"), None),
            (Some("https://evil.example"), Some("prod")),
            (Some("http://mcp.example.com"), None),
        ] {
            assert!(session(url, name).0.api_key().is_err(), "{url:?} {name:?}");
        }
    }

    #[test]
    fn an_unknown_profile_is_named_with_a_guess() {
        let failure = session(None, Some("prd")).0.api_key().unwrap_err();
        assert_eq!(failure.headline(), "No profile \"prd\". Did you mean prod?");
        assert_eq!(failure.exit_number(), 3);
    }

    #[test]
    fn urls_with_credentials_are_refused_without_repeating_them() {
        let failure = parse_url("https://u:CANARY@host/").unwrap_err();
        assert!(!failure.headline().contains("CANARY"), "{failure:?}");
        assert!(
            parse_url("ftp://host").is_err() && parse_url("host:1").is_err() && parse_url("https://h/?a=b").is_err()
        );
    }
}
