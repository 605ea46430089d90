//! The embedded catalogue of well-known remote MCP servers: what `aerostack mcp install github-mcp` and
//! `secrets set github-mcp GITHUB_TOKEN …` know without asking. Only servers that work with a static key or none.
//! Owns the entries and what to suggest for a name that is none of them.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::domain::injection::Injection;

/// A server of the catalogue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownServer {
    /// What it is installed as.
    pub slug: String,
    /// Its name.
    pub title: String,
    /// What it is for, in a few words.
    pub about: String,
    /// Its endpoint.
    pub url: String,
    /// What it wants to be given.
    #[serde(default)]
    pub secrets: Vec<KnownSecret>,
}

/// A secret that a server of the catalogue takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownSecret {
    /// Its name.
    pub name: String,
    /// `bearer`, or a header's name; none: a header with the secret's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inject: Option<String>,
    /// The server also works without it.
    #[serde(default)]
    pub optional: bool,
    /// What to create at the vendor's.
    pub about: String,
}

impl KnownSecret {
    /// How it is sent; `None`: as a header with the secret's name.
    pub fn injection(&self) -> Option<Injection> {
        self.inject.as_ref().map(|inject| match inject.as_str() {
            "bearer" => Injection::Bearer,
            header => Injection::Header(header.to_owned()),
        })
    }
}

impl KnownServer {
    /// The secret of that name.
    pub fn secret(&self, name: &str) -> Option<&KnownSecret> {
        self.secrets.iter().find(|secret| secret.name == name)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    server: Vec<KnownServer>,
}

static ALL: LazyLock<Vec<KnownServer>> = LazyLock::new(|| {
    // A test reads the same file; an installation whose catalogue did not parse works without one.
    toml::from_str::<File>(include_str!("known_servers.toml")).map(|file| file.server).unwrap_or_default()
});

/// Every entry, by slug.
pub fn all() -> &'static [KnownServer] {
    &ALL
}

/// The entry with that slug.
pub fn lookup(slug: &str) -> Option<&'static KnownServer> {
    ALL.iter().find(|server| server.slug == slug)
}

/// What was probably meant by `slug`, best first, at most three: entries of the catalogue and `others` (the slugs of
/// one's own servers). `github` means `github-mcp`.
pub fn did_you_mean<'a>(slug: &str, others: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let core = |text: &str| text.trim_start_matches("mcp-").trim_end_matches("-mcp").to_ascii_lowercase();
    let asked = core(slug);
    let known = ALL.iter().map(|server| server.slug.as_str());
    let mut scored: Vec<(f64, String)> = others
        .into_iter()
        .chain(known)
        .filter(|candidate| *candidate != slug)
        .map(|candidate| {
            let candidate_core = core(candidate);
            // One word of the other's name is as good as a small typing error.
            let part = asked.len() >= 3 && candidate_core.split('-').any(|word| word == asked);
            let near = strsim::jaro_winkler(&asked, &candidate_core);
            (if part { near.max(0.95) } else { near }, candidate.to_owned())
        })
        .filter(|(score, _)| *score >= 0.85)
        .collect();
    scored.sort_by(|(a, left), (b, right)| b.total_cmp(a).then_with(|| left.cmp(right)));
    scored.dedup_by(|(_, a), (_, b)| a == b);
    scored.into_iter().map(|(_, slug)| slug).take(3).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        injection::{check_rule, check_secret_name},
        server::ServerSpec,
        slug::Slug,
    };

    #[test]
    fn every_entry_is_one_that_install_and_secrets_set_accept() {
        let file: File = toml::from_str(include_str!("known_servers.toml")).unwrap();
        assert!(file.server.len() >= 20);
        assert!(file.server.is_sorted_by(|a, b| a.slug < b.slug));
        for server in &file.server {
            assert!(Slug::parse(&server.slug).is_ok(), "{}", server.slug);
            assert!(ServerSpec::for_url(&server.url).unwrap().origin().starts_with("https://"), "{}", server.url);
            assert!(server.url.starts_with("https://") && !server.title.is_empty() && !server.about.is_empty());
            for secret in &server.secrets {
                check_secret_name(&secret.name).unwrap();
                check_rule(secret.injection().as_ref(), &secret.name).unwrap();
            }
        }
    }

    #[test]
    fn the_servers_of_the_documents_are_known() {
        let github = lookup("github-mcp").unwrap();
        assert_eq!(ServerSpec::for_url(&github.url).unwrap().origin(), "https://api.githubcopilot.com:443");
        assert_eq!(github.secret("GITHUB_TOKEN").unwrap().injection(), Some(Injection::Bearer));
        assert!(lookup("stripe-mcp").unwrap().secret("STRIPE_KEY").is_some());
        assert!(lookup("slack-mcp").unwrap().secret("SLACK_TOKEN").is_some());
        assert_eq!(lookup("github"), None);
    }

    #[test]
    fn near_misses_are_suggested() {
        assert_eq!(did_you_mean("github", []).first().unwrap(), "github-mcp");
        assert_eq!(did_you_mean("gihtub-mcp", []).first().unwrap(), "github-mcp");
        assert_eq!(did_you_mean("mcp-slack", []).first().unwrap(), "slack-mcp");
        assert_eq!(did_you_mean("maps", []).first().unwrap(), "google-maps-mcp");
        assert_eq!(did_you_mean("internal-ap", ["internal-api"]).first().unwrap(), "internal-api");
        assert_eq!(did_you_mean("deploy-pipeline", []), Vec::<String>::new());
        assert!(did_you_mean("cloudflare", []).len() <= 3);
    }
}
