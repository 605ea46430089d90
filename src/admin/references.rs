//! What `slug`, `ns/name`, `@ns/name` and `@ns/name@1.2` mean for the one who says it. A skill that is not public and
//! whose namespace one is not a member of is refused in the same words whether or not it exists (design.md §7).

use crate::{
    actors::Actors,
    admin::{servers, whoami},
    domain::{
        ids::WorkspaceId,
        near,
        role::Principal,
        skill::{Reference, Visibility},
    },
    error::{Error, Result, err},
    store::{
        accounts::{self, AccountRecord},
        api_keys,
        servers::{self as records, ServerRecord},
        skills::{self, SkillRecord},
    },
};

/// A namespace, and whether whoever named it is in it.
pub struct Place {
    /// Its name as it was said.
    name: String,
    account: Option<AccountRecord>,
    member: bool,
}

/// A skill that may be seen.
#[derive(Debug, Clone)]
pub struct Found {
    /// What is known of it.
    pub skill: SkillRecord,
    /// Its definition at the version published last.
    pub server: ServerRecord,
}

/// What is to be installed.
pub enum Target {
    /// A server: an own definition or one of the known ones.
    Server,
    /// A skill.
    Skill(Box<Found>),
}

/// The answer to everybody who is not in a namespace.
pub fn not_a_member(namespace: &str) -> Error {
    let shown = near::shown(namespace);
    err::forbidden(format!("You are not a member of @{shown}"))
        .with_hint(format!("ask an owner of @{shown} to invite you"))
}

async fn place(actors: &Actors, by: &Principal, namespace: Option<&str>) -> Result<Place> {
    let Some(name) = namespace else {
        let own = whoami::namespace(actors, by).await?;
        return Ok(Place { name: own.username.clone(), account: Some(own), member: true });
    };
    let (wanted, who, acts_in, key) = (name.to_owned(), by.account, by.namespace, by.api_key);
    let (account, role) = actors
        .store
        .read(move |db| async move {
            let account = accounts::by_username(&db, &wanted).await?;
            // A key that is bound makes nobody a member elsewhere.
            let stays = api_keys::is_bound(&db, who, key).await?;
            let role = match &account {
                Some(account) if !stays || account.id == acts_in => accounts::role_of(&db, account.id, who).await?,
                _ => None,
            };
            Ok((account, role))
        })
        .await?;
    let member = role.is_some() || account.as_ref().is_some_and(|account| account.id == acts_in);
    Ok(Place { name: name.to_owned(), account, member })
}

/// The skill that is meant, if it may be seen.
pub async fn skill(actors: &Actors, by: &Principal, wanted: &Reference) -> Result<Found> {
    let place = place(actors, by, wanted.namespace.as_deref()).await?;
    skill_in(actors, by, &place, &wanted.name).await
}

async fn skill_in(actors: &Actors, by: &Principal, place: &Place, name: &str) -> Result<Found> {
    let found = match &place.account {
        Some(account) => {
            let (namespace, name) = (account.id, name.to_owned());
            actors
                .store
                .read(move |db| async move {
                    let skill = skills::by_name(&db, namespace, &name).await?;
                    let server = records::by_slug(&db, namespace, &name).await?;
                    Ok(skill.zip(server))
                })
                .await?
        }
        None => None,
    };
    let is_public = |found: &(SkillRecord, ServerRecord)| found.0.about.visibility == Visibility::Public;
    if !place.member && !found.as_ref().is_some_and(is_public) {
        return Err(not_a_member(&place.name));
    }
    match found.filter(|(skill, _)| may_see(by, skill)) {
        Some((skill, server)) => Ok(Found { skill, server }),
        None => Err(err::not_found(format!("No skill \"{}\" in @{}", near::shown(name), near::shown(&place.name)))
            .with_hint("aerostack skill list")),
    }
}

/// Whether somebody in its namespace may see a skill.
pub fn may_see(by: &Principal, skill: &SkillRecord) -> bool {
    let own = by.account == skill.created_by || by.account == skill.namespace;
    skill.about.visibility != Visibility::Private || own
}

/// What is meant by a reference that is to be installed.
pub async fn target(actors: &Actors, by: &Principal, wanted: &Reference) -> Result<Target> {
    let place = place(actors, by, wanted.namespace.as_deref()).await?;
    if place.account.as_ref().is_some_and(|account| account.id == by.namespace) {
        let (namespace, name) = (by.namespace, wanted.name.clone());
        let own = actors.store.read(move |db| async move { records::by_slug(&db, namespace, &name).await }).await?;
        if own.is_none_or(|record| record.spec.skill().is_none()) {
            return match &wanted.version {
                None => Ok(Target::Server),
                Some(_) => Err(err::validation("Only skills have versions").with_hint("leave @VERSION out")),
            };
        }
    }
    skill_in(actors, by, &place, &wanted.name).await.map(|found| Target::Skill(Box::new(found)))
}

/// The definition that is meant where a workspace may have others than one's own: of the installed one, as it is
/// installed.
pub async fn server(
    actors: &Actors,
    by: &Principal,
    text: &str,
    workspace: Option<WorkspaceId>,
) -> Result<ServerRecord> {
    let wanted: Reference = text.parse()?;
    let place = place(actors, by, wanted.namespace.as_deref()).await?;
    let mut record = match &place.account {
        Some(account) if account.id == by.namespace => servers::find(actors, by, &wanted.name).await?,
        _ => skill_in(actors, by, &place, &wanted.name).await?.server,
    };
    let catalog = actors.catalog.load();
    let view = workspace.and_then(|id| catalog.workspace_by_id(id));
    let installed = view.and_then(|view| view.installed.iter().find(|one| one.def.id == record.id));
    match installed {
        Some(one) => record.spec = one.def.spec.clone(),
        None if record.namespace == by.namespace => {}
        None => {
            return Err(err::forbidden(format!("{} belongs to @{}", record.slug, place.name))
                .with_hint("install it, and name the workspace: --workspace SLUG"));
        }
    }
    Ok(record)
}

/// The namespace a reference is limited to; none: any. Fails where one is not a member and nothing of it is installed.
pub async fn limited_to(actors: &Actors, by: &Principal, wanted: &Reference) -> Result<Option<AccountRecord>> {
    let Some(name) = &wanted.namespace else { return Ok(None) };
    let place = place(actors, by, Some(name)).await?;
    place.account.map(Some).ok_or_else(|| not_a_member(name))
}
