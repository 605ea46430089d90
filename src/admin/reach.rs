//! Who reaches a workspace: the members of its namespace, and the tokens that they hold there.

use std::collections::HashMap;

use crate::{
    actors::Actors,
    admin::{whoami, workspaces},
    domain::{
        clock::{self, Timestamp},
        ids::AccountId,
        role::{Principal, Role},
    },
    error::Result,
    store::{accounts, tokens},
};

/// Who reaches a workspace.
pub struct Reach {
    /// Members, longest first.
    pub members: Vec<Reaching>,
    /// Active tokens that belong to no member.
    pub others: u64,
}

/// A member.
pub struct Reaching {
    /// How lists call them.
    pub member: String,
    /// Their user name.
    pub username: String,
    /// Their role.
    pub role: Role,
    /// Active tokens that they hold here; 0 to those who do not administer.
    pub tokens: u64,
    /// When one of them was used last.
    pub last_used_at: Option<Timestamp>,
}

/// Everybody in the namespace sees its members, who administers their tokens as well.
pub async fn of_workspace(actors: &Actors, by: &Principal, slug: &str) -> Result<Reach> {
    by.require(Role::Viewer)?;
    let workspace = workspaces::find(actors, by, slug).await?;
    let (place, namespace, all, now) = (workspace.id, by.namespace, by.role >= Role::Admin, clock::now());
    let owner = whoami::namespace(actors, by).await?;
    let (members, active) = actors
        .store
        .read(move |db| async move {
            let active = if all { tokens::list_active(&db, place, now).await? } else { Vec::new() };
            Ok((accounts::members(&db, namespace).await?, active))
        })
        .await?;
    let mut held: HashMap<Option<AccountId>, (u64, Option<Timestamp>)> = HashMap::new();
    for token in active {
        let (tokens, used) = held.entry(token.member).or_default();
        *tokens += 1;
        *used = (*used).max(token.last_used_at).max(actors.tokens.last_used(token.id));
    }
    let others = held.remove(&None).unwrap_or_default().0;
    let members = members.iter().map(|member| {
        let (tokens, last_used_at) = held.get(&Some(member.account.id)).copied().unwrap_or_default();
        let username = member.account.username.clone();
        Reaching { member: accounts::label(&member.account, &owner), username, role: member.role, tokens, last_used_at }
    });
    Ok(Reach { members: members.collect(), others })
}
