//! Task ids as clients see them: `<server slug>.<the server's id>.<mark>`. The slug says where the task lives, the mark
//! (a MAC over token, workspace, server and id) that this token was given it: to any other it is unknown (`security.md`
//! S-17). Nothing is stored.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::session_id::StateKey;
use crate::domain::{
    framing::Framed,
    ids::{TokenId, WorkspaceId},
};

const LABEL: &str = "aerostack/task/v1";
const MARK: usize = 12;

/// Whose task it is.
#[derive(Debug, Clone, Copy)]
pub struct Holder {
    /// The token that started it.
    pub token: TokenId,
    /// In which workspace.
    pub workspace: WorkspaceId,
}

/// The id that `holder` sees for the task `id` of the server `slug`.
pub fn expose(key: &StateKey, holder: Holder, slug: &str, id: &str) -> String {
    format!("{slug}.{id}.{}", BASE64_URL_SAFE_NO_PAD.encode(mark(key, holder, slug, id)))
}

/// Slug and own id of a task that `holder` was given; `None` for every other text.
pub fn resolve<'a>(key: &StateKey, holder: Holder, exposed: &'a str) -> Option<(&'a str, &'a str)> {
    let (slug, rest) = exposed.split_once('.')?;
    let (id, given) = rest.rsplit_once('.')?;
    let given = BASE64_URL_SAFE_NO_PAD.decode(given).ok()?;
    (given.len() == MARK && mac(key, holder, slug, id).verify_truncated_left(&given).is_ok()).then_some((slug, id))
}

fn mark(key: &StateKey, holder: Holder, slug: &str, id: &str) -> Vec<u8> {
    let full = mac(key, holder, slug, id).finalize().into_bytes();
    full.iter().take(MARK).copied().collect()
}

fn mac(key: &StateKey, holder: Holder, slug: &str, id: &str) -> Hmac<Sha256> {
    let covered = Framed::new(LABEL)
        .bytes(holder.token.0.as_bytes())
        .bytes(holder.workspace.0.as_bytes())
        .bytes(slug.as_bytes())
        .bytes(id.as_bytes())
        .finish();
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(key.key.as_slice()) else {
        // HMAC takes keys of any length.
        std::process::abort();
    };
    mac.chain_update(&covered)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder() -> Holder {
        Holder { token: TokenId::generate(), workspace: WorkspaceId::generate() }
    }

    #[test]
    fn a_task_is_known_to_its_holder_only() {
        let (key, holder) = (StateKey::generate(1), holder());
        for id in ["t1", "a.b.c", "", "ü \""] {
            let exposed = expose(&key, holder, "github", id);
            assert!(exposed.starts_with(&format!("github.{id}")), "{exposed}");
            assert_eq!(resolve(&key, holder, &exposed), Some(("github", id)));
            assert_eq!(resolve(&key, self::holder(), &exposed), None);
            assert_eq!(resolve(&StateKey::generate(1), holder, &exposed), None);
        }
        for foreign in ["", "github", "github.t1", "github.t1.AAAA", "gitlab.t1.AAAAAAAAAAAAAAAA"] {
            assert_eq!(resolve(&key, holder, foreign), None, "{foreign}");
        }
    }
}
