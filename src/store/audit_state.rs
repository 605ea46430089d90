//! Is what is stored what the audit log says of it? A row that somebody wrote back or removed by SQL leaves the log
//! intact; but entries about a secret, a token, an API key or a member name its id, those about a secret the version of
//! its value too, those about a token what tells its value from others, those about a member the role, and so the two can
//! be compared. What the log does not know any more (its entries were pruned) is not judged.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    str::FromStr,
};

use entities::audit_entry;
use sea_orm::ConnectionTrait;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    domain::ids::{AccountId, ApiKeyId, SecretId, ServerId, TokenId, WorkspaceId},
    error::Result,
    store::{
        accounts, api_keys,
        audit::{CHANGED, Meta},
        audit_check::Flaw,
        secrets, tokens,
    },
};

/// Rows read at once.
const PAGE: u64 = 2000;

/// Acts after which a thing is gone or worth nothing.
const ENDS: [&str; 4] = ["secret_deleted", "token_revoked", "api_key_revoked", "member_removed"];

/// What entries name by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Thing {
    Secret,
    Token,
    ApiKey,
    Member,
}

/// A thing: its kind, the namespace where that is part of it (of a member), and its id.
type Key = (Thing, Uuid, Uuid);

/// How a row stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    /// Of a secret: the version of its value.
    Version(u64),
    /// Of a token: whether it was revoked, and what tells its value from others.
    Token(bool, String),
    /// Of a key: whether it was revoked.
    Revoked(bool),
    /// Of a member: the role.
    Role(String),
}

/// What the log said last of everything that it names by id.
#[derive(Default)]
pub(super) struct StateSaid {
    things: BTreeMap<Key, Said>,
    /// Removed for good: what belonged to them went with them, without entries of its own.
    servers: BTreeSet<ServerId>,
    workspaces: BTreeSet<WorkspaceId>,
}

struct Said {
    seq: u64,
    /// What kind of thing it is and what it is called, as the log shows it.
    target: String,
    /// A secret's value; nothing for other things.
    version: Option<u64>,
    /// A member's role.
    role: Option<String>,
    /// What tells a token's value from others.
    hash: Option<String>,
    /// Deleted (a secret of the same name that is set later has another id), revoked, or out.
    ended: bool,
    server: Option<ServerId>,
    workspace: Option<WorkspaceId>,
}

impl StateSaid {
    /// Takes note of a genuine entry.
    pub(super) fn hear(&mut self, row: &audit_entry::Model, seq: u64, meta: &Meta) {
        let text = |name: &str| meta.detail.get(name).and_then(Value::as_str);
        self.hear_of_others(seq, meta);
        let server = text("server").and_then(|id| id.parse().ok());
        let workspace = text("workspace_id").and_then(|id| id.parse().ok());
        let version = meta.detail.get("value_version").and_then(Value::as_u64);
        let (thing, id) = match row.action.as_str() {
            "mcp_removed" | "skill_removed" => return self.servers.extend(server),
            "workspace_deleted" => return self.workspaces.extend(workspace),
            "secret_updated" | "secret_injection_updated" | "secret_deleted" => {
                (Thing::Secret, text("secret").and_then(|id| id.parse().ok()).map(|SecretId(id)| id))
            }
            "token_created" | "token_rotated" | "token_scope_changed" | "token_revoked" => {
                (Thing::Token, text("token").and_then(|id| id.parse().ok()).map(|TokenId(id)| id))
            }
            "api_key_created" | "api_key_reset" | "api_key_revoked" => {
                (Thing::ApiKey, text("key").and_then(|id| id.parse().ok()).map(|ApiKeyId(id)| id))
            }
            "member_joined" | "role_changed" | "member_removed" => {
                (Thing::Member, text("account").and_then(|id| id.parse().ok()).map(|AccountId(id)| id))
            }
            _ => return,
        };
        let namespace = if thing == Thing::Member { meta.namespace.0 } else { Uuid::nil() };
        // `to` in entries of earlier versions.
        let role =
            text("now").or_else(|| text("to")).or_else(|| meta.detail.get(CHANGED)?.get("role")?.get(1)?.as_str());
        let role = role.map(str::to_owned).filter(|_| thing == Thing::Member);
        let ended = ENDS.contains(&row.action.as_str());
        let name = row.target.split_once(':').map_or(row.target.as_str(), |(_, name)| name);
        let target = match thing {
            Thing::Secret => format!("secret {name}"),
            Thing::Token => format!("token \"{name}\""),
            Thing::ApiKey if row.action == "api_key_reset" => format!("API key of {name}"),
            Thing::ApiKey => format!("API key \"{name}\""),
            Thing::Member => format!("member {name}"),
        };
        if let Some(id) = id {
            let key = (thing, namespace, id);
            // Not every act gives a token another value.
            let hash = text("hash").map(str::to_owned).or_else(|| self.things.get(&key)?.hash.clone());
            self.things.insert(key, Said { seq, target, version, role, hash, ended, server, workspace });
        }
    }

    /// Takes note of tokens and keys that were revoked with something else: with their member, or with a key that was lost.
    fn hear_of_others(&mut self, seq: u64, meta: &Meta) {
        let tokens =
            ids::<TokenId>(meta, "token_ids").into_iter().map(|id| (Thing::Token, id.0, format!("token {id}")));
        let keys =
            ids::<ApiKeyId>(meta, "key_ids").into_iter().map(|id| (Thing::ApiKey, id.0, format!("API key {id}")));
        for (thing, id, target) in tokens.chain(keys) {
            let said = self.things.entry((thing, Uuid::nil(), id)).or_insert_with(|| Said {
                seq,
                // What it is called was said in an entry that is pruned.
                target,
                version: None,
                role: None,
                hash: None,
                ended: true,
                server: None,
                workspace: None,
            });
            (said.seq, said.ended) = (seq, true);
        }
    }

    /// Compares what is stored, to be called after the log was read: how many secrets are as new as it says, and the
    /// first entry whose thing is older, back although it was ended, or not there although it was not.
    pub(super) async fn compare(&self, db: &impl ConnectionTrait) -> Result<(u64, Option<(u64, Flaw)>)> {
        let (mut there, mut compared, mut first) = (HashSet::new(), 0, None);
        for thing in [Thing::Secret, Thing::Token, Thing::ApiKey, Thing::Member] {
            let mut after = None;
            loop {
                let rows = page(db, thing, after).await?;
                let Some((last, _)) = rows.last() else { break };
                after = Some(*last);
                for (key, standing) in rows {
                    there.insert(key);
                    let Some(said) = self.things.get(&key) else { continue };
                    if said.is_put_back(&standing) {
                        keep_first(&mut first, said.seq, Flaw::RolledBack(said.target.clone()));
                    } else if thing == Thing::Secret {
                        compared += 1;
                    }
                }
            }
        }
        let missing = self.things.iter().filter(|(at, said)| !there.contains(at) && self.should_be_there(at.0, said));
        for (_, said) in missing {
            keep_first(&mut first, said.seq, Flaw::RowMissing(said.target.clone()));
        }
        Ok((compared, first))
    }

    /// Whether the log knows all that could have removed a thing, and none of it happened. Revoked tokens and keys stay.
    fn should_be_there(&self, thing: Thing, said: &Said) -> bool {
        let is_known = match thing {
            Thing::Secret => !said.ended && said.server.is_some(),
            Thing::Token => said.workspace.is_some(),
            Thing::ApiKey => true,
            Thing::Member => !said.ended,
        };
        let is_gone = said.server.is_some_and(|server| self.servers.contains(&server))
            || said.workspace.is_some_and(|workspace| self.workspaces.contains(&workspace));
        is_known && !is_gone
    }
}

impl Said {
    /// Whether a row is one that the thing had before.
    fn is_put_back(&self, standing: &Standing) -> bool {
        match standing {
            Standing::Version(stored) => self.ended || self.version.is_some_and(|said| *stored < said),
            Standing::Token(revoked, stored) => {
                (self.ended && !revoked) || self.hash.as_ref().is_some_and(|said| stored != said)
            }
            Standing::Revoked(revoked) => self.ended && !revoked,
            Standing::Role(stored) => self.ended || self.role.as_ref().is_some_and(|said| stored != said),
        }
    }
}

/// What an entry lists by id.
fn ids<T: FromStr>(meta: &Meta, name: &str) -> Vec<T> {
    let listed = meta.detail.get(name).and_then(Value::as_array);
    listed.into_iter().flatten().filter_map(|id| id.as_str()?.parse().ok()).collect()
}

fn keep_first(first: &mut Option<(u64, Flaw)>, seq: u64, flaw: Flaw) {
    if first.as_ref().is_none_or(|(known, _)| seq < *known) {
        *first = Some((seq, flaw));
    }
}

async fn page(db: &impl ConnectionTrait, thing: Thing, after: Option<Key>) -> Result<Vec<(Key, Standing)>> {
    let id = after.map(|(_, _, id)| id);
    let own = |id: Uuid| (thing, Uuid::nil(), id);
    Ok(match thing {
        Thing::Secret => {
            let rows = secrets::versions(db, id.map(SecretId), PAGE).await?;
            rows.into_iter().map(|(id, version)| (own(id.0), Standing::Version(version))).collect()
        }
        Thing::Token => {
            let rows = tokens::revoked(db, id.map(TokenId), PAGE).await?;
            rows.into_iter().map(|(id, revoked, hash)| (own(id.0), Standing::Token(revoked, hash))).collect()
        }
        Thing::ApiKey => {
            let rows = api_keys::revoked(db, id.map(ApiKeyId), PAGE).await?;
            rows.into_iter().map(|(id, revoked)| (own(id.0), Standing::Revoked(revoked))).collect()
        }
        Thing::Member => {
            let after = after.map(|(_, namespace, account)| (AccountId(namespace), AccountId(account)));
            let rows = accounts::roles(db, after, PAGE).await?;
            rows.into_iter()
                .map(|(namespace, account, role)| ((thing, namespace.0, account.0), Standing::Role(role)))
                .collect()
        }
    })
}
