//! What a token may use of its workspace: patterns over the names that clients see, and reading only. An empty scope
//! takes nothing away. Both the list and the call ask [`Scope::refusal`]; there is no second rule.
//!
//! A pattern is matched against the name that clients see and, where an alias stands for it, against the plain
//! `prefix__tool` as well: giving a tool an alias neither opens nor closes it. A resource is matched as
//! `prefix__` and its URI. Denying wins over allowing, and it does not look at upper and lower case.

use serde::{Deserialize, Serialize};

use crate::error::{Result, err};

/// Patterns in one list of a scope.
const PATTERNS: usize = 64;
/// Longest pattern, bytes.
const PATTERN_BYTES: usize = 128;

/// What a token may use. `*` stands for any characters, `?` for one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Scope {
    /// Only names that one of these fits; none: all names.
    #[schema(example = json!(["github__*"]))]
    pub allow: Vec<String>,
    /// No name that one of these fits.
    #[schema(example = json!(["*delete*"]))]
    pub deny: Vec<String>,
    /// Only tools whose server says that they read (`annotations.readOnlyHint` is `true`).
    pub read_only: bool,
}

/// Why a scope refuses a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal<'a> {
    /// This pattern denies it.
    Denied(&'a str),
    /// It is on no line of the list of what is allowed.
    NotAllowed,
    /// The token reads only, and the tool's server does not say that the tool does.
    NotReadOnly,
}

/// A name as patterns see it.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    /// What clients see.
    pub exposed: &'a str,
    /// `prefix__tool`, where that is another name.
    pub plain: Option<&'a str>,
}

impl Named<'_> {
    fn any(&self, fits: impl Fn(&str) -> bool) -> bool {
        fits(self.exposed) || self.plain.is_some_and(fits)
    }
}

impl Scope {
    /// Whether it takes nothing away.
    pub fn is_empty(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty() && !self.read_only
    }

    /// The scope, if it can be one; none when it takes nothing away.
    pub fn checked(self) -> Result<Option<Self>> {
        for list in [&self.allow, &self.deny] {
            if list.len() > PATTERNS {
                return Err(err::validation(format!("A token has at most {PATTERNS} patterns in a list"))
                    .with_hint("one pattern for several tools: github__*"));
            }
            if let Some(wrong) = list.iter().find(|pattern| !is_pattern(pattern)) {
                let shown: String = wrong.chars().take(PATTERN_BYTES).flat_map(char::escape_debug).collect();
                return Err(err::validation(format!("\"{shown}\" is not a pattern of names")).with_hint(format!(
                    "1 to {PATTERN_BYTES} printable characters without blanks or commas; * for any characters, ? for one"
                )));
            }
        }
        Ok(Some(self).filter(|scope| !scope.is_empty()))
    }

    /// Why something of that name is refused, if it is. `reads`: its server says that it only reads.
    pub fn refusal(&self, named: Named<'_>, reads: bool) -> Option<Refusal<'_>> {
        if let Some(pattern) = self.deny.iter().find(|pattern| named.any(|name| fits(pattern, name, true))) {
            return Some(Refusal::Denied(pattern));
        }
        if !self.allow.is_empty() && !self.allow.iter().any(|pattern| named.any(|name| fits(pattern, name, false))) {
            return Some(Refusal::NotAllowed);
        }
        (self.read_only && !reads).then_some(Refusal::NotReadOnly)
    }
}

/// In the words of the options that make it.
impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut words: Vec<String> = self.allow.iter().map(|pattern| format!("allow {pattern}")).collect();
        words.extend(self.deny.iter().map(|pattern| format!("deny {pattern}")));
        words.extend(self.read_only.then(|| "read-only".to_owned()));
        f.write_str(if words.is_empty() { "everything" } else { "" })?;
        f.write_str(&words.join(", "))
    }
}

fn is_pattern(text: &str) -> bool {
    (1..=PATTERN_BYTES).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() && b != b',')
}

/// Whether `pattern` fits the whole of `name`. Goes back to the last `*` only, so it never takes longer than the
/// product of both lengths.
fn fits(pattern: &str, name: &str, fold: bool) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let same = |a: u8, b: u8| a == b || fold && a.eq_ignore_ascii_case(&b);
    let (mut at, mut read, mut star) = (0, 0, None);
    while let Some(&byte) = name.get(read) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(&wanted) if wanted == b'?' || same(wanted, byte) => {
                at += 1;
                read += 1;
            }
            _ => match star {
                Some((from, taken)) => {
                    at = from + 1;
                    read = taken + 1;
                    star = Some((from, read));
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(exposed: &str) -> Named<'_> {
        Named { exposed, plain: None }
    }

    #[test]
    fn patterns_fit_whole_names() {
        for (pattern, name, wanted) in [
            ("*", "", true),
            ("github__*", "github__create_issue", true),
            ("github__*", "github_create", false),
            ("*delete*", "crm__delete_all", true),
            ("*delete*", "crm__read", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b*c", "xaybzc", true),
            ("*a*b*c", "xaybzcd", false),
            ("", "x", false),
            ("a", "A", false),
        ] {
            assert_eq!(fits(pattern, name, false), wanted, "{pattern} {name}");
        }
        let slow = "a*".repeat(60) + "b";
        assert!(!fits(&slow, &"a".repeat(2000), false));
    }

    #[test]
    fn denying_wins_and_does_not_look_at_case() {
        let scope = Scope { allow: vec!["crm__*".into()], deny: vec!["*delete*".into()], read_only: false };
        assert_eq!(scope.refusal(plain("crm__read"), false), None);
        assert_eq!(scope.refusal(plain("crm__DeleteAll"), true), Some(Refusal::Denied("*delete*")));
        assert_eq!(scope.refusal(plain("github__read"), true), Some(Refusal::NotAllowed));
    }

    #[test]
    fn an_alias_neither_opens_nor_closes_a_tool() {
        let scope = Scope { allow: vec!["crm__*".into()], deny: vec!["*delete*".into()], read_only: false };
        let named = |exposed, plain| Named { exposed, plain: Some(plain) };
        assert_eq!(scope.refusal(named("cleanup", "crm__delete_all"), false), Some(Refusal::Denied("*delete*")));
        assert_eq!(scope.refusal(named("people", "crm__list"), false), None);
    }

    #[test]
    fn reading_only_believes_only_what_the_server_says() {
        let scope = Scope { read_only: true, ..Scope::default() };
        assert_eq!(scope.refusal(plain("crm__read"), false), Some(Refusal::NotReadOnly));
        assert_eq!(scope.refusal(plain("crm__read"), true), None);
    }

    #[test]
    fn what_is_no_pattern_is_refused_and_what_takes_nothing_away_is_no_scope() {
        for bad in ["", "a b", "a,b", "é", "a\n", &"a".repeat(129)] {
            assert!(Scope { deny: vec![bad.into()], ..Scope::default() }.checked().is_err(), "{bad:?}");
        }
        assert!(Scope { allow: vec!["a".into(); 65], ..Scope::default() }.checked().is_err());
        assert_eq!(Scope::default().checked().unwrap(), None);
        let scope = Scope { allow: vec!["a".into()], deny: vec!["b".into()], read_only: true };
        assert_eq!(scope.to_string(), "allow a, deny b, read-only");
        assert_eq!(scope.clone().checked().unwrap(), Some(scope));
    }
}
