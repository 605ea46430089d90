//! The part of an explanation that is about the server: enabled, its secrets there, and answering.

use std::sync::atomic::Ordering::SeqCst;

use crate::{
    actors::{
        Actors,
        catalog::{Installed, WorkspaceView},
        upstream_link::Phase,
    },
    admin::{
        dto::{Cause, Layer, Step},
        known,
    },
    domain::skill::Skill,
    error::{ErrorCode, Result},
    store::{
        secrets::SecretState,
        servers::{self, ServerRecord},
        skills,
    },
    upstream::ServerDef,
};

/// What is asked about.
pub(super) struct Asked<'a> {
    pub(super) actors: &'a Actors,
    pub(super) view: &'a WorkspaceView,
    pub(super) one: &'a Installed,
    /// Names of secrets may be said.
    pub(super) sees_names: bool,
}

/// Why nothing of a server is offered in the workspace.
pub(super) async fn off(actors: &Actors, view: &WorkspaceView, def: &ServerDef) -> Result<Step> {
    let (server, workspace, namespace) = (def.id, view.id, view.namespace);
    let look = actors.store.read(move |db| async move {
        let there = servers::installations(&db, workspace).await?;
        match there.iter().find(|one| one.server == server) {
            Some(one) => skills::is_shared_with(&db, server, [namespace, one.created_by]).await,
            None => Ok(true),
        }
    });
    let (slug, place) = (&def.slug, &view.slug);
    if look.await? {
        let remedy = format!("aerostack mcp enable {slug} --workspace {place}");
        return Ok(Step::fails(Cause::ServerDisabled, format!("{slug} is disabled in {place}"), remedy));
    }
    let skill = def.spec.skill().map_or_else(|| slug.to_string(), Skill::reference);
    let finding = format!("{skill} is not shared with this workspace's namespace any more");
    let remedy = format!(
        "ask an owner of its namespace to invite you, or: aerostack skill uninstall {skill} --workspace {place}"
    );
    Ok(Step::fails(Cause::SkillNotShared, finding, remedy))
}

/// What stands in the way at the server, or that nothing does.
pub(super) async fn steps(asked: &Asked<'_>) -> Result<Vec<Step>> {
    let (def, slug) = (&asked.one.def, &asked.one.def.slug);
    if !asked.one.enabled {
        return Ok(vec![off(asked.actors, asked.view, def).await?]);
    }
    let mut steps: Vec<Step> = secrets(asked).await?.into_iter().collect();
    if let Some(open) = def.breaker.resting() {
        let finding = format!(
            "{slug} failed {} times in a row and is not asked for {} s",
            open.failures,
            open.retry_after.as_millis().div_ceil(1000)
        );
        steps.push(Step::fails(
            Cause::BreakerOpen,
            finding,
            format!("it is tried again by itself; aerostack mcp test {slug}"),
        ));
    }
    steps.extend(connection(asked));
    let most = def.spec.max_in_flight.unwrap_or(asked.actors.config.upstream.calls_per_server);
    if def.in_flight.load(SeqCst) >= most {
        let finding = format!("{slug} has {most} calls under way, the most allowed for it");
        steps.push(Step::fails(Cause::ServerBusy, finding, "wait for some to end, or raise its max_in_flight"));
    }
    if steps.is_empty() {
        steps.push(Step::passes(Layer::Server, format!("{slug} is enabled and, as far as is known, answers")));
    }
    Ok(steps)
}

async fn secrets(asked: &Asked<'_>) -> Result<Option<Step>> {
    let (def, slug) = (&asked.one.def, &asked.one.def.slug);
    let set = asked.actors.vault.list(def.id, Some(asked.view.id), &def.spec.origin()).await?;
    let said = |name: &str| if asked.sees_names { name.to_owned() } else { "a secret".to_owned() };
    let command = |name: &str| match asked.sees_names {
        true => format!("aerostack secrets set {slug} {name}"),
        false => "ask an administrator to set it".to_owned(),
    };
    // An override counts instead of the value for all workspaces.
    let in_force = |name: &str| {
        let own = set.iter().find(|info| info.name == name && info.workspace.is_some());
        own.or_else(|| set.iter().find(|info| info.name == name))
    };
    for info in &set {
        let cause = match in_force(&info.name).map(|info| info.state) {
            Some(SecretState::NeedsReentry) => Cause::SecretNeedsReentry,
            Some(SecretState::IntegrityError) => Cause::SecretDamaged,
            _ => continue,
        };
        let what = match cause {
            Cause::SecretDamaged => "is damaged and is not sent",
            _ => "was set for another address of the server and must be entered again",
        };
        let finding = format!("{} of {slug} {what}", said(&info.name));
        return Ok(Some(Step::fails(cause, finding, command(&info.name))));
    }
    let id = def.id;
    let record = asked.actors.store.read(move |db| async move { servers::get(&db, id).await }).await?;
    let needed = match record {
        Some(record) => known::needed_secrets(&ServerRecord { spec: def.spec.clone(), ..record }),
        None => Vec::new(),
    };
    let missing = needed.into_iter().find(|name| in_force(name).is_none());
    Ok(missing.map(|name| {
        let finding = format!("{slug} needs {}, which is not set", said(&name));
        Step::fails(Cause::SecretMissing, finding, command(&name))
    }))
}

fn connection(asked: &Asked<'_>) -> Option<Step> {
    let (def, slug) = (&asked.one.def, &asked.one.def.slug);
    let status = asked.actors.upstreams.status(def, asked.actors.vault.scope(asked.view.id, def.id))?;
    if status.phase != Phase::Failed {
        return None;
    }
    let why = status.failure.clone().unwrap_or_else(|| "it does not answer".to_owned());
    if status.failure_code == Some(ErrorCode::UpstreamUnauthorized.name()) {
        let remedy = match asked.sees_names {
            true => format!(
                "aerostack secrets set {slug} NAME, and how it is sent: aerostack secrets inject {slug} NAME --bearer"
            ),
            false => "ask an administrator to set its credential again".to_owned(),
        };
        return Some(Step::fails(Cause::CredentialRefused, format!("{slug}: {why}"), remedy));
    }
    let finding = format!("{slug} does not answer: {why}");
    Some(Step::fails(Cause::ServerNotConnected, finding, format!("aerostack mcp test {slug}")))
}
