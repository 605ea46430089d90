//! Names under which a workspace shows the tools of its servers: `prefix__tool`. Decides prefixes, what fits, and the
//! name a tool gets that does not fit. Pure: the same input always gives the same name, whatever else is installed.
//! Finding a tool by its name is a look-up in the catalogue's table, never a split at `__`.

use sha2::{Digest, Sha256};

use crate::error::{Result, err};

/// Longest name that every model and editor takes.
pub const MAX_LEN: usize = 64;
/// Longer names break editors that put their own prefix before ours: warn, offer an alias.
pub const WARN_LEN: usize = 46;
/// Longest prefix that an installation may set.
pub const PREFIX_LEN: usize = 32;
/// Between prefix and tool.
pub const SEPARATOR: &str = "__";

/// The prefix that a server's slug gives: without a leading `mcp-` and a trailing `-mcp` or `-skill`, in letters,
/// digits and `_`.
pub fn derived_prefix(slug: &str) -> String {
    let tail = slug.strip_prefix("mcp-").unwrap_or(slug);
    let short = tail.strip_suffix("-mcp").or_else(|| tail.strip_suffix("-skill")).unwrap_or(tail);
    if short.is_empty() { full_prefix(slug) } else { full_prefix(short) }
}

/// The whole slug as a prefix: the fallback of a collision.
pub fn full_prefix(slug: &str) -> String {
    slug.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
}

/// The prefix of a new installation: the derived one, else the whole slug, else the whole slug with four digits of
/// its hash. Fixed at installation; later changes around it never change it.
pub fn choose_prefix(slug: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let (derived, full) = (derived_prefix(slug), full_prefix(slug));
    let hashed = || format!("{full}_{}", hash(slug, 4));
    [derived, full.clone()].into_iter().find(|prefix| !is_taken(prefix)).unwrap_or_else(hashed)
}

/// Prefixes that a call may use besides the installation's own: the slug as it is, and as a prefix.
pub fn accepted_prefixes(slug: &str) -> [String; 2] {
    [slug.to_owned(), full_prefix(slug)]
}

/// Checks a prefix that an administrator sets. Empty is allowed: names then pass unchanged.
pub fn check_prefix(prefix: &str) -> Result<()> {
    let inner = prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let edges = prefix.starts_with('_') || prefix.ends_with('_') || prefix.contains(SEPARATOR);
    if inner && !edges && prefix.len() <= PREFIX_LEN {
        return Ok(());
    }
    Err(err::validation("A prefix consists of up to 32 letters, digits and single inner _")
        .with_hint("no hyphens: some editors rewrite them. An empty prefix passes tool names on unchanged"))
}

/// The name of a tool in a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposed {
    /// The name.
    pub name: String,
    /// The plain `prefix__tool` did not fit: `name` is an alias that stands for it.
    pub aliased: bool,
}

impl Exposed {
    /// Whether some editors will have trouble with its length.
    pub fn is_long(&self) -> bool {
        is_long(&self.name)
    }
}

/// Whether some editors will have trouble with the name's length.
pub fn is_long(name: &str) -> bool {
    name.len() > WARN_LEN
}

/// Whether a name may be shown as it is: `[A-Za-z0-9_-]{1,64}`.
pub fn fits(name: &str) -> bool {
    (1..=MAX_LEN).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// The name of `tool` under `prefix`: as it is if it fits, else its alias.
pub fn expose(prefix: &str, tool: &str) -> Exposed {
    let name = plain(prefix, tool);
    if fits(&name) && !tool.is_empty() {
        Exposed { name, aliased: false }
    } else {
        Exposed { name: alias(&name, &name), aliased: true }
    }
}

/// The name of a tool whose [`expose`]d name another server's tool has already: made from the slug, so it does not
/// depend on which of the two came first beyond who keeps the plain name.
pub fn expose_apart(prefix: &str, tool: &str, slug: &str) -> Exposed {
    let name = alias(&plain(prefix, tool), &format!("{slug}\0{tool}"));
    Exposed { name, aliased: true }
}

/// A name that every editor takes, for one that some do not.
pub fn shortened(name: &str) -> String {
    alias(name, name)
}

/// `prefix__tool`, whether or not it fits.
pub fn plain(prefix: &str, tool: &str) -> String {
    if prefix.is_empty() { tool.to_owned() } else { [prefix, SEPARATOR, tool].concat() }
}

/// What is readable of `name`, short enough for every editor, and eight digits of a hash.
fn alias(name: &str, hashed: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
    let readable: String = name.chars().map(safe).take(WARN_LEN - 9).collect();
    format!("{readable}_{}", hash(hashed, 8))
}

fn hash(text: &str, digits: usize) -> String {
    let hex: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
    hex.chars().take(digits).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prefixes_leave_out_what_every_slug_has() {
        for (slug, prefix) in [
            ("github-mcp", "github"),
            ("mcp-github", "github"),
            ("mcp-git-hub-mcp", "git_hub"),
            ("crm-skill", "crm"),
            ("slack", "slack"),
            ("deploy-pipeline", "deploy_pipeline"),
            ("mcp-mcp", "mcp"),
            ("x-mcp-server", "x_mcp_server"),
        ] {
            assert_eq!(derived_prefix(slug), prefix, "{slug}");
        }
        assert_eq!(accepted_prefixes("github-mcp"), ["github-mcp", "github_mcp"]);
    }

    #[test]
    fn a_collision_falls_back_to_the_whole_slug_and_then_to_its_hash() {
        assert_eq!(choose_prefix("github-mcp", |_| false), "github");
        assert_eq!(choose_prefix("github-mcp", |taken| taken == "github"), "github_mcp");
        let hashed = choose_prefix("github", |taken| taken == "github");
        assert!(hashed.starts_with("github_") && hashed.len() == 11 && hashed == choose_prefix("github", |_| true));
    }

    #[test]
    fn the_names_of_the_documents_come_out() {
        assert_eq!(expose(&derived_prefix("github-mcp"), "create_issue").name, "github__create_issue");
        assert_eq!(expose("", "create_issue").name, "create_issue");
        assert_eq!(expose("a", "_x").name, "a___x");
        assert!(!expose("a", "x").is_long() && expose("a", &"x".repeat(44)).is_long());
    }

    #[test]
    fn names_that_do_not_fit_get_a_readable_short_alias() {
        for tool in ["files.read", "caf\u{e9}", "g\u{456}thub", "a\u{200d}b", "", " ", "x/y"] {
            let exposed = expose("s", tool);
            assert!(exposed.aliased && fits(&exposed.name) && !exposed.is_long(), "{exposed:?}");
        }
        assert!(expose("s", "files.read").name.starts_with("s__files_read_"));
        let long = expose("s", &"x".repeat(62));
        assert!(long.aliased && long.name.len() == WARN_LEN);
        assert!(!expose("s", &"x".repeat(61)).aliased);
        assert_ne!(expose_apart("a", "b__c", "one").name, expose_apart("a__b", "c", "two").name);
    }

    #[test]
    fn prefixes_that_editors_rewrite_are_refused() {
        for good in ["", "a", "Git_Hub2"] {
            assert!(check_prefix(good).is_ok(), "{good}");
        }
        for bad in ["a-b", "_a", "a_", "a__b", "a.b", "\u{e9}", &"a".repeat(33)] {
            assert!(check_prefix(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn different_tools_of_a_server_never_share_a_name(prefix in "[a-z0-9_]{0,20}", tools in prop::collection::hash_set("[a-z._\u{e9}-]{0,80}", 0..40)) {
            let mut seen = HashMap::new();
            for tool in tools {
                let exposed = expose(&prefix, &tool);
                prop_assert!(fits(&exposed.name));
                prop_assert_eq!(&exposed, &expose(&prefix, &tool));
                if let Some(other) = seen.insert(exposed.name, tool.clone()) {
                    prop_assert!(false, "{other} and {tool}");
                }
            }
        }
    }
}
