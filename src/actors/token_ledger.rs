//! The grants in force, as every worker reads them. The TokenAuthority is the only writer; what makes it exact is
//! the epoch: it grows with every withdrawal, and a grant read from the database is admitted only if the epoch is
//! still the one from before the read. So a read that began before a revocation can never bring the grant back,
//! whichever of the two finishes first.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
};

use dashmap::DashMap;
use parking_lot::Mutex;

use crate::{
    actors::grant::Grant,
    domain::{
        clock::{self, Timestamp},
        ids::{TokenId, WorkspaceId},
        scope::Scope,
        token::{TokenHash, TokenHashBuilder},
    },
};

/// What the database says of a value that works: its hash, what it may use, when it ends.
pub(super) type InForce = (TokenHash, Option<Arc<Scope>>, Option<Timestamp>);

/// See the module.
#[derive(Default)]
pub(super) struct Ledger {
    grants: DashMap<TokenHash, Arc<Grant>, TokenHashBuilder>,
    turn: Mutex<Turn>,
    /// Latest wall time seen, in milliseconds: a clock set back must not wake expired tokens.
    latest_ms: AtomicI64,
}

#[derive(Default)]
struct Turn {
    /// Withdrawals.
    epoch: u64,
    /// Withdrawals and admissions.
    revision: u64,
    /// The values of a token: one, or two in the overlap of a rotation. Each has a grant.
    hashes: HashMap<TokenId, Vec<TokenHash>>,
    expiries: BTreeSet<(Timestamp, [u8; 32])>,
    /// Withdrawn, but perhaps not dead yet: whoever withdraws the same token again has to wait for it as well.
    dying: HashMap<TokenId, Vec<Arc<Grant>>>,
}

impl Turn {
    fn begin_withdrawal(&mut self) {
        self.epoch += 1;
        self.revision += 1;
    }
}

impl Ledger {
    /// The grant for this hash, if it is in force.
    pub(super) fn get(&self, hash: &TokenHash) -> Option<Arc<Grant>> {
        self.grants.get(hash).filter(|grant| grant.is_valid()).map(|grant| grant.value().clone())
    }

    /// The grant of a token, if it is in force.
    pub(super) fn of_token(&self, token: TokenId) -> Option<Arc<Grant>> {
        let hashes = self.turn.lock().hashes.get(&token).cloned().unwrap_or_default();
        hashes.iter().find_map(|hash| self.get(hash))
    }

    /// What a later [`Ledger::admit`] must be told. Take it before reading the database.
    pub(super) fn epoch(&self) -> u64 {
        self.turn.lock().epoch
    }

    /// Puts a grant in force that was read in `epoch`. `None`: something was withdrawn meanwhile, read again. A
    /// value that already has a grant keeps it, so that there is never a second one that a revocation would miss.
    pub(super) fn admit(&self, epoch: u64, hash: TokenHash, make: impl FnOnce() -> Grant) -> Option<Arc<Grant>> {
        let mut turn = self.turn.lock();
        if turn.epoch != epoch {
            return None;
        }
        Some(self.put(&mut turn, hash, make))
    }

    fn put(&self, turn: &mut Turn, hash: TokenHash, make: impl FnOnce() -> Grant) -> Arc<Grant> {
        if let Some(present) = self.grants.get(&hash) {
            return present.value().clone();
        }
        let grant = Arc::new(make());
        turn.revision += 1;
        turn.hashes.entry(grant.token).or_default().push(hash);
        if let Some(at) = grant.ends_at() {
            turn.expiries.insert((at, hash.0));
        }
        self.grants.insert(hash, grant.clone());
        grant
    }

    /// Gives a token in force the scope that was read in `epoch`. `false`: something changed meanwhile, read again. Grants
    /// that were read with the old scope are not admitted after this.
    pub(super) fn rescope(&self, epoch: u64, token: TokenId, scope: Option<Arc<Scope>>) -> bool {
        let mut turn = self.turn.lock();
        if turn.epoch != epoch {
            return false;
        }
        turn.begin_withdrawal();
        for hash in turn.hashes.get(&token).into_iter().flatten() {
            if let Some(grant) = self.grants.get(hash) {
                grant.set_scope(scope.clone());
            }
        }
        true
    }

    /// A token has another value: the one it had works until `until`, any older one no more. The caller kills what is
    /// returned before it answers. Grants that were read before are not admitted after this.
    pub(super) fn supersede(&self, token: TokenId, old: &TokenHash, until: Timestamp) -> Vec<Arc<Grant>> {
        let mut turn = self.turn.lock();
        turn.begin_withdrawal();
        let all = turn.hashes.get(&token).cloned().unwrap_or_default();
        let gone = all.iter().filter(|hash| *hash != old).filter_map(|hash| self.remove_value(&mut turn, hash));
        let gone = gone.collect();
        let kept = self.grants.get(old).map(|grant| grant.value().clone());
        if let Some(grant) = kept {
            let end = grant.ends_at().map_or(until, |own| own.min(until));
            end_at(&mut turn, old, &grant, Some(end));
        }
        gone
    }

    /// Takes tokens out of force. The caller kills what is returned before it answers.
    pub(super) fn withdraw(&self, tokens: impl IntoIterator<Item = TokenId>) -> Vec<Arc<Grant>> {
        let mut turn = self.turn.lock();
        turn.begin_withdrawal();
        tokens.into_iter().flat_map(|token| self.remove(&mut turn, token)).collect()
    }

    /// Takes all tokens of a workspace out of force.
    pub(super) fn withdraw_workspace(&self, workspace: WorkspaceId) -> Vec<Arc<Grant>> {
        self.withdraw_those(|grant| grant.workspace == workspace)
    }

    /// Takes all tokens out of force.
    pub(super) fn withdraw_all(&self) -> Vec<Arc<Grant>> {
        self.withdraw_those(|_| true)
    }

    fn withdraw_those(&self, fits: impl Fn(&Grant) -> bool) -> Vec<Arc<Grant>> {
        let mut turn = self.turn.lock();
        turn.begin_withdrawal();
        let all: Vec<TokenId> = self.grants.iter().filter(|grant| fits(grant)).map(|grant| grant.token).collect();
        let dying = turn.dying.values().flatten().filter(|grant| fits(grant)).map(|grant| grant.token);
        let all: BTreeSet<TokenId> = all.into_iter().chain(dying).collect();
        all.into_iter().flat_map(|token| self.remove(&mut turn, token)).collect()
    }

    /// Takes values out of force whose time is over.
    pub(super) fn withdraw_expired(&self) -> Vec<Arc<Grant>> {
        let now = self.now();
        let mut turn = self.turn.lock();
        let over: Vec<TokenHash> =
            turn.expiries.iter().take_while(|(at, _)| *at <= now).map(|(_, hash)| TokenHash(*hash)).collect();
        if over.is_empty() {
            return Vec::new();
        }
        turn.begin_withdrawal();
        over.iter().filter_map(|hash| self.remove_value(&mut turn, hash)).collect()
    }

    /// What a later [`Ledger::reconcile`] must be told. Take it before reading the database.
    pub(super) fn revision(&self) -> u64 {
        self.turn.lock().revision
    }

    /// Makes the ledger equal to what the database said at `revision` (of each value: its scope and its end): returns
    /// the grants that are no longer in force, `None` when something was withdrawn or admitted meanwhile.
    pub(super) fn reconcile(
        &self,
        revision: u64,
        active: Vec<(InForce, impl FnOnce() -> Grant)>,
    ) -> Option<Vec<Arc<Grant>>> {
        let mut turn = self.turn.lock();
        if turn.revision != revision {
            return None;
        }
        let known: HashSet<TokenHash, TokenHashBuilder> = active.iter().map(|((hash, ..), _)| *hash).collect();
        let gone: Vec<TokenHash> =
            self.grants.iter().filter(|entry| !known.contains(entry.key())).map(|entry| *entry.key()).collect();
        if !gone.is_empty() {
            turn.begin_withdrawal();
        }
        let gone = gone.iter().filter_map(|hash| self.remove_value(&mut turn, hash)).collect();
        for ((hash, scope, end), make) in active {
            let grant = self.put(&mut turn, hash, make);
            grant.set_scope(scope);
            end_at(&mut turn, &hash, &grant, end);
        }
        Some(gone)
    }

    /// All grants of a token, those that are dying included.
    fn remove(&self, turn: &mut Turn, token: TokenId) -> Vec<Arc<Grant>> {
        for hash in turn.hashes.get(&token).cloned().unwrap_or_default() {
            self.remove_value(turn, &hash);
        }
        turn.dying.get(&token).cloned().unwrap_or_default()
    }

    fn remove_value(&self, turn: &mut Turn, hash: &TokenHash) -> Option<Arc<Grant>> {
        let (_, grant) = self.grants.remove(hash)?;
        if let Some(hashes) = turn.hashes.get_mut(&grant.token) {
            hashes.retain(|other| other != hash);
            if hashes.is_empty() {
                turn.hashes.remove(&grant.token);
            }
        }
        if let Some(at) = grant.ends_at() {
            turn.expiries.remove(&(at, hash.0));
        }
        turn.dying.entry(grant.token).or_default().push(grant.clone());
        Some(grant)
    }

    /// These withdrawn grants are dead.
    pub(super) fn bury(&self, dead: &[Arc<Grant>]) {
        let mut turn = self.turn.lock();
        for grant in dead {
            // Another value of the token may be dying as well.
            if let Some(dying) = turn.dying.get_mut(&grant.token) {
                dying.retain(|other| !Arc::ptr_eq(other, grant));
                if dying.is_empty() {
                    turn.dying.remove(&grant.token);
                }
            }
        }
    }

    /// Wall time that never goes back in this process (expiry is decided by it).
    pub(super) fn now(&self) -> Timestamp {
        let now_ms = clock::now().timestamp_millis();
        let latest = self.latest_ms.fetch_max(now_ms, Relaxed).max(now_ms);
        Timestamp::from_timestamp_millis(latest).unwrap_or_default()
    }

    /// Values in force.
    pub(super) fn len(&self) -> usize {
        self.grants.len()
    }
}

/// Gives a grant in force another end.
fn end_at(turn: &mut Turn, hash: &TokenHash, grant: &Grant, end: Option<Timestamp>) {
    if let Some(old) = grant.ends_at() {
        turn.expiries.remove(&(old, hash.0));
    }
    grant.set_end(end);
    if let Some(at) = grant.ends_at() {
        turn.expiries.insert((at, hash.0));
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::domain::{
        rate::Window,
        token::{Credential, generate},
    };

    fn grant(workspace: WorkspaceId, expires_at: Option<Timestamp>) -> Grant {
        let window = || Arc::new(Window::new(120));
        let (slug, name) = ("engineering".into(), "Alice".into());
        Grant::new(TokenId::generate(), workspace, slug, name, None, expires_at, window(), window())
    }
    fn hash() -> TokenHash {
        generate(Credential::Mwt).hash
    }

    /// S-61: a clock that jumps back makes nothing valid again.
    #[test]
    fn what_is_over_stays_over_when_the_clock_jumps_back() {
        let ledger = Ledger::default();
        let ahead = clock::now() + TimeDelta::hours(3);
        ledger.latest_ms.store(ahead.timestamp_millis(), Relaxed);
        assert_eq!(ledger.now().timestamp_millis(), ahead.timestamp_millis(), "it was later before");
    }

    #[test]
    fn a_grant_read_before_a_withdrawal_is_not_admitted_after_it() {
        let (ledger, hash, workspace) = (Ledger::default(), hash(), WorkspaceId::generate());
        let before = ledger.epoch();
        ledger.withdraw([TokenId::generate()]);
        assert!(ledger.admit(before, hash, || grant(workspace, None)).is_none());
        assert!(ledger.get(&hash).is_none());
        assert!(ledger.admit(ledger.epoch(), hash, || grant(workspace, None)).is_some());
    }

    #[test]
    fn a_grant_read_before_its_scope_changed_is_not_admitted_after_it() {
        let (ledger, hash, workspace) = (Ledger::default(), hash(), WorkspaceId::generate());
        let present = ledger.admit(0, hash, || grant(workspace, None)).unwrap();
        let reading = Some(Arc::new(Scope { read_only: true, ..Scope::default() }));
        let before = ledger.epoch();
        assert!(ledger.rescope(before, present.token, reading.clone()));
        assert_eq!(present.scope(), reading);
        assert!(ledger.admit(before, self::hash(), || grant(workspace, None)).is_none());
        assert!(!ledger.rescope(before, present.token, None), "read again");
    }

    #[test]
    fn a_token_never_has_two_grants() {
        let (ledger, hash, workspace) = (Ledger::default(), hash(), WorkspaceId::generate());
        let one = ledger.admit(0, hash, || grant(workspace, None)).unwrap();
        let two = ledger.admit(0, hash, || grant(workspace, None)).unwrap();
        assert!(Arc::ptr_eq(&one, &two));
        assert!(Arc::ptr_eq(&one, &ledger.withdraw([one.token])[0]));
        assert!(ledger.get(&hash).is_none());
    }

    #[test]
    fn whoever_withdraws_a_token_again_is_given_the_grant_until_it_is_dead() {
        let (ledger, hash, workspace) = (Ledger::default(), hash(), WorkspaceId::generate());
        let grant = ledger.admit(0, hash, || grant(workspace, None)).unwrap();
        let first = ledger.withdraw([grant.token]);
        assert!(Arc::ptr_eq(&ledger.withdraw([grant.token])[0], &grant));
        ledger.bury(&first);
        assert!(ledger.withdraw([grant.token]).is_empty());
    }

    #[test]
    fn expired_and_foreign_tokens_leave_and_the_others_stay() {
        let (ledger, here, there) = (Ledger::default(), WorkspaceId::generate(), WorkspaceId::generate());
        let past = clock::now() - TimeDelta::seconds(1);
        let later = clock::now() + TimeDelta::hours(1);
        let (old, staying, other) = (hash(), hash(), hash());
        ledger.admit(0, old, || grant(here, Some(past))).unwrap();
        ledger.admit(0, staying, || grant(here, Some(later))).unwrap();
        ledger.admit(0, other, || grant(there, None)).unwrap();
        assert!(ledger.get(&old).is_none(), "expired is not in force even before it is swept");
        let expired = ledger.withdraw_expired();
        assert_eq!(expired.len(), 1);
        ledger.bury(&expired);
        assert!(ledger.withdraw_expired().is_empty());
        assert_eq!(ledger.withdraw_workspace(here).len(), 1);
        assert!(ledger.get(&staying).is_none() && ledger.get(&other).is_some());
    }

    #[test]
    fn reconciling_keeps_grants_that_are_still_in_force_and_returns_the_others() {
        let (ledger, workspace) = (Ledger::default(), WorkspaceId::generate());
        let (kept, revoked, new) = (hash(), hash(), hash());
        let present = ledger.admit(0, kept, || grant(workspace, None)).unwrap();
        let gone = ledger.admit(0, revoked, || grant(workspace, None)).unwrap();
        let reading = Some(Arc::new(Scope { read_only: true, ..Scope::default() }));
        let active = [kept, new]
            .map(|hash| ((hash, reading.clone(), None), move || grant(workspace, None)))
            .into_iter()
            .collect();
        let removed = ledger.reconcile(ledger.revision(), active).unwrap();
        assert!(removed.len() == 1 && Arc::ptr_eq(&removed[0], &gone));
        assert!(Arc::ptr_eq(&ledger.get(&kept).unwrap(), &present), "streams and windows live on");
        assert_eq!(present.scope(), reading, "what may be used is what the database says");
        assert!(ledger.get(&new).is_some() && ledger.get(&revoked).is_none());
        let stale = ledger.revision();
        ledger.admit(ledger.epoch(), hash(), || grant(workspace, None)).unwrap();
        assert!(ledger.reconcile(stale, Vec::<(InForce, fn() -> Grant)>::new()).is_none());
    }

    /// As a rotated token has it: two values under one id.
    fn with_two_values(ledger: &Ledger) -> (TokenHash, TokenHash, Arc<Grant>, Arc<Grant>) {
        let (old, new, workspace) = (hash(), hash(), WorkspaceId::generate());
        let first = ledger.admit(ledger.epoch(), old, || grant(workspace, None)).unwrap();
        let second = || {
            let mut second = grant(workspace, None);
            second.token = first.token;
            second
        };
        let second = ledger.admit(ledger.epoch(), new, second).unwrap();
        (old, new, first, second)
    }

    #[test]
    fn a_superseded_value_works_until_its_end_and_older_ones_no_more() {
        let ledger = Ledger::default();
        let (old, new, first, second) = with_two_values(&ledger);
        let before = ledger.epoch();
        let later = clock::now() + TimeDelta::hours(1);
        let gone = ledger.supersede(first.token, &new, later);
        assert!(gone.len() == 1 && Arc::ptr_eq(&gone[0], &first) && ledger.get(&old).is_none());
        assert_eq!(second.ends_at().unwrap().timestamp_millis(), later.timestamp_millis());
        assert!(ledger.get(&new).is_some());
        assert!(ledger.admit(before, hash(), || grant(second.workspace, None)).is_none(), "read it again");
        ledger.supersede(second.token, &new, clock::now() - TimeDelta::seconds(1));
        assert!(ledger.get(&new).is_none(), "not in force even before it is swept");
        assert_eq!(ledger.withdraw_expired().len(), 1);
        assert!(ledger.of_token(second.token).is_none());
    }

    #[test]
    fn a_withdrawn_token_takes_all_its_values_along() {
        let ledger = Ledger::default();
        let (old, new, first, _) = with_two_values(&ledger);
        let gone = ledger.withdraw([first.token]);
        assert_eq!(gone.len(), 2);
        assert!(ledger.get(&old).is_none() && ledger.get(&new).is_none());
        assert_eq!(ledger.withdraw([first.token]).len(), 2, "until they are dead");
        ledger.bury(&gone);
        assert!(ledger.withdraw([first.token]).is_empty());
    }
}
