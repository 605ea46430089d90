//! Is the audit log what was written? The chain covers the whole installation, so only administrators of the namespace
//! that owns it may ask; one check runs at a time.

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
pub async fn verify(actors: &Actors, by: &Principal, input: VerifyAudit) -> Result<AuditVerdict> {
    require_installation(actors, by, "check its audit log")?;
    if input.checkpoints.len() > MOST {
        return Err(err::validation(format!("At most {MOST} checkpoints at once"))
            .with_hint("On the gateway's machine: aerostack audit verify --data-dir FOLDER --checkpoint FILE"));
    }
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
    let reading = tokio::task::spawn_blocking(move || {
        use std::io::Read as _;
        let mut text = String::new();
        std::fs::File::open(path)?.take(FILE_BYTES).read_to_string(&mut text)?;
        Ok::<_, std::io::Error>(text)
    });
    let failed = |cause: &dyn std::fmt::Display| {
        Error::new(ErrorCode::StoreUnavailable, format!("audit.checkpoint_file cannot be read: {cause}"))
    };
    let text = reading.await.map_err(|cause| failed(&cause))?.map_err(|cause| failed(&cause))?;
    let ours = audit_checkpoint::read(&text).into_iter().filter(|known| known.instance == Some(instance));
    Ok(ours.map(|known| known.place).collect())
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
    let flaw = |(seq, flaw): (u64, audit_check::Flaw)| AuditFlaw {
        seq,
        flaw: flaw.as_str().to_owned(),
        explanation: flaw.explain(seq),
    };
    AuditVerdict {
        intact: verdict.broken.is_none(),
        checked: verdict.checked,
        pruned_through: verdict.pruned_through,
        checkpoints: verdict.checkpoints,
        secrets: verdict.secrets,
        head: AuditPlace { seq: verdict.head.seq, mac: hex(&verdict.head.mac), instance: Some(instance.to_string()) },
        broken: verdict.broken.map(flaw),
    }
}

/// Check the audit log of the installation
#[utoipa::path(post, path = "/api/v1/admin/audit:verify", tag = "audit", request_body = VerifyAudit,
    responses((status = 200, body = AuditVerdict), Problems))]
pub async fn verify_route(admin: web::Data<Admin>, by: Caller, _: Query<Nothing>, body: Json<VerifyAudit>) -> Reply {
    let Ok(_one) = admin.audit_check.try_acquire() else {
        let busy = Error::new(ErrorCode::Overloaded, "The audit log is being checked already").with_retry_after(5);
        return Err(busy.into());
    };
    Ok(HttpResponse::Ok().json(verify(&admin.actors, &by.0, body.0).await?))
}
