//! Is the audit log what was written? The chain covers the whole installation, so only administrators of the namespace
//! that owns it may ask; one check runs at a time.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::Path,
};

use actix_web::{HttpResponse, web};
use uuid::Uuid;

use crate::{
    actors::Actors,
    admin::{
        Admin,
        auth::{Caller, require_installation},
        dto::{AuditFlaw, AuditPlace, AuditVerdict, VerifyAudit},
        openapi::Problems,
        reply::Reply,
        request::{Json, Nothing, Query},
    },
    domain::{
        audit_checkpoint::{self, Checkpoint, hex, parse_mac},
        role::Principal,
    },
    error::{Error, ErrorCode, Result, err},
    store::audit_check::{self, Scope, Verdict},
};

/// Checkpoints in one request.
const MOST: usize = 40_000;
/// Bytes read of the end of the gateway's own checkpoint file: decades at a checkpoint every five minutes.
const FILE_BYTES: u64 = 256 * 1024 * 1024;

/// Checks the chain against what the caller and the checkpoint file know.
pub async fn verify(admin: &Admin, by: &Principal, input: VerifyAudit) -> Result<AuditVerdict> {
    let actors = &admin.actors;
    require_installation(actors, by, "check its audit log")?;
    if input.checkpoints.len() > MOST {
        return Err(err::validation(format!("At most {MOST} checkpoints at once"))
            .with_hint("On the gateway's machine: aerostack audit verify --data-dir FOLDER --checkpoint FILE"));
    }
    let Ok(_one) = admin.audit_check.try_acquire() else {
        return Err(Error::new(ErrorCode::Overloaded, "The audit log is being checked already").with_retry_after(5));
    };
    let instance = actors.store.instance_id();
    let mut known = input.checkpoints.iter().map(|said| place(said, instance)).collect::<Result<Vec<_>>>()?;
    known.extend(kept(actors).await?);
    let keys = actors.vault.audit_keys().to_vec();
    let check = move |db| async move {
        let scope = Scope { from: input.from, checkpoints: &known, with_state: input.with_state };
        audit_check::verify(&db, &keys, scope).await
    };
    Ok(dto(&actors.store.read(check).await?, instance))
}

/// The checkpoints of the gateway's own file, which were written before this is called.
async fn kept(actors: &Actors) -> Result<Vec<Checkpoint>> {
    let Some(path) = actors.audit.checkpoints().file().cloned() else { return Ok(Vec::new()) };
    let instance = actors.store.instance_id();
    let reading = tokio::task::spawn_blocking(move || end_of(&path, FILE_BYTES));
    let failed = |cause: &dyn std::fmt::Display| {
        Error::new(ErrorCode::StoreUnavailable, format!("audit.checkpoint_file cannot be read: {cause}"))
    };
    let text = reading.await.map_err(|cause| failed(&cause))?.map_err(|cause| failed(&cause))?;
    let ours = audit_checkpoint::read(&text).into_iter().filter(|known| known.instance == Some(instance));
    Ok(ours.map(|known| known.place).collect())
}

/// The last whole lines of a file, at most `most` bytes of them: what was written last counts.
fn end_of(path: &Path, most: u64) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let from = file.metadata()?.len().saturating_sub(most);
    // The byte before shows whether a line begins there.
    file.seek(SeekFrom::Start(from.saturating_sub(1)))?;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let whole = if from == 0 { Some(&*text) } else { text.split_once('\n').map(|(_, whole)| whole) };
    Ok(whole.unwrap_or_default().to_owned())
}

fn place(said: &AuditPlace, instance: Uuid) -> Result<Checkpoint> {
    if said.instance.as_deref().is_some_and(|of| of != instance.to_string()) {
        return Err(err::validation("A checkpoint belongs to another installation"));
    }
    let mac = parse_mac(&said.mac).ok_or_else(|| err::validation("A checkpoint's mac has 64 hexadecimal digits"))?;
    Ok(Checkpoint { seq: said.seq, mac })
}

/// A verdict in the API's words.
pub fn dto(verdict: &Verdict, instance: Uuid) -> AuditVerdict {
    let flaw = |(seq, flaw): &(u64, audit_check::Flaw)| AuditFlaw {
        seq: *seq,
        flaw: flaw.as_str().to_owned(),
        explanation: flaw.explain(*seq),
    };
    AuditVerdict {
        intact: verdict.broken.is_none(),
        checked: verdict.checked,
        pruned_through: verdict.pruned_through,
        checkpoints: verdict.checkpoints,
        secrets: verdict.secrets,
        head: AuditPlace { seq: verdict.head.seq, mac: hex(&verdict.head.mac), instance: Some(instance.to_string()) },
        broken: verdict.broken.as_ref().map(flaw),
    }
}

/// Check the audit log of the installation
#[utoipa::path(post, path = "/api/v1/admin/audit:verify", tag = "audit", request_body = VerifyAudit,
    responses((status = 200, body = AuditVerdict), Problems))]
pub async fn verify_route(admin: web::Data<Admin>, by: Caller, _: Query<Nothing>, body: Json<VerifyAudit>) -> Reply {
    Ok(HttpResponse::Ok().json(verify(&admin, &by.0, body.0).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_file_the_last_whole_lines_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoints.jsonl");
        std::fs::write(&path, "one\ntwo\nthree\n").unwrap();
        for (most, whole) in
            [(99, "one\ntwo\nthree\n"), (14, "one\ntwo\nthree\n"), (10, "two\nthree\n"), (9, "three\n"), (2, "")]
        {
            assert_eq!(end_of(&path, most).unwrap(), whole, "{most}");
        }
    }
}
