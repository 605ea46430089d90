//! Hashing and checking passwords: slow on purpose, so at most as many at once as there are cores, a bounded queue before
//! that, and never on a thread that serves requests. A name that nobody has costs as much as a wrong password.

use std::sync::{
    OnceLock,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;

use crate::{
    config::PeopleConfig,
    error::{Error, ErrorCode, Result},
};

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is another one, or there is none.
    Wrong,
    /// It is right.
    Right {
        /// The stored hash was made with other parameters than are set now.
        outdated: bool,
    },
}

/// The one place where passwords are hashed.
pub(super) struct Passwords {
    params: Params,
    slots: Semaphore,
    waiting: AtomicUsize,
    queue: usize,
    /// A hash of nothing that anybody knows, for names that nobody has.
    dummy: OnceLock<String>,
}

impl Passwords {
    pub(super) fn new(config: &PeopleConfig) -> Self {
        // The settings were checked at the start; whatever is wrong all the same falls back to what OWASP asks for.
        let params = Params::new(config.password_memory_kib, config.password_rounds, 1, None).unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Passwords {
            params,
            slots: Semaphore::new(cores),
            waiting: AtomicUsize::new(0),
            queue: config.password_queue,
            dummy: OnceLock::new(),
        }
    }

    /// The hash to store, as a PHC string with a fresh salt.
    pub(super) async fn hash(&self, password: &SecretString) -> Result<String> {
        let (params, password) = (self.params.clone(), password.clone());
        self.slowly(move || phc(params, &password)).await
    }

    /// Compares a password with the stored hash; none: nobody has that name, which takes as long.
    pub(super) async fn verify(&self, password: &SecretString, stored: Option<String>) -> Result<Verdict> {
        let known = stored.is_some();
        let stored = match stored {
            Some(stored) => stored,
            None => self.dummy().await?,
        };
        let (params, password) = (self.params.clone(), password.clone());
        self.slowly(move || {
            let parsed =
                PasswordHash::new(&stored).map_err(|cause| Error::internal("reading a password's hash", cause))?;
            let right = Argon2::default().verify_password(password.expose_secret().as_bytes(), &parsed).is_ok();
            let outdated = !stored.starts_with(&beginning(&params));
            Ok(if right && known { Verdict::Right { outdated } } else { Verdict::Wrong })
        })
        .await
    }

    async fn dummy(&self) -> Result<String> {
        if let Some(known) = self.dummy.get() {
            return Ok(known.clone());
        }
        let noise = crate::domain::random::bytes::<16>();
        let text: String = noise.iter().map(|byte| format!("{byte:02x}")).collect();
        let made = self.hash(&SecretString::from(text)).await?;
        Ok(self.dummy.get_or_init(|| made).clone())
    }

    async fn slowly<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        struct Leave<'a>(&'a AtomicUsize);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, SeqCst);
            }
        }
        let ahead = self.waiting.fetch_add(1, SeqCst);
        let _leave = Leave(&self.waiting);
        if ahead >= self.queue {
            return Err(Error::new(ErrorCode::Overloaded, "Too many people sign in at this moment").with_retry_after(1));
        }
        let slot = self.slots.acquire().await.map_err(|cause| Error::internal("hashing a password", cause))?;
        let done = actix_rt::task::spawn_blocking(work).await;
        drop(slot);
        done.map_err(|cause| Error::internal("hashing a password", cause))?
    }
}

/// What the PHC string of these parameters begins with.
fn beginning(params: &Params) -> String {
    format!("$argon2id$v=19$m={},t={},p={}$", params.m_cost(), params.t_cost(), params.p_cost())
}

fn phc(params: Params, password: &SecretString) -> Result<String> {
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hashed = argon2.hash_password(password.expose_secret().as_bytes());
    hashed.map(|hash| hash.to_string()).map_err(|cause| Error::internal("hashing a password", cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cheap(rounds: u32) -> Passwords {
        Passwords::new(&PeopleConfig { password_memory_kib: 64, password_rounds: rounds, ..PeopleConfig::default() })
    }

    #[actix_web::test]
    async fn the_right_password_is_recognised_and_an_old_hash_is_told() {
        let (one, two) = (cheap(1), cheap(2));
        let (right, wrong) = (SecretString::from("violet tram sings"), SecretString::from("violet tram sing"));
        let stored = one.hash(&right).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=64,t=1,p=1$") && !stored.contains("violet"), "{stored}");
        assert_ne!(stored, one.hash(&right).await.unwrap(), "salted");
        assert_eq!(one.verify(&right, Some(stored.clone())).await.unwrap(), Verdict::Right { outdated: false });
        assert_eq!(two.verify(&right, Some(stored.clone())).await.unwrap(), Verdict::Right { outdated: true });
        assert_eq!(one.verify(&wrong, Some(stored)).await.unwrap(), Verdict::Wrong);
        assert_eq!(one.verify(&right, None).await.unwrap(), Verdict::Wrong);
    }

    #[actix_web::test]
    async fn more_than_fit_the_queue_are_told_to_come_back() {
        let passwords = Passwords::new(&PeopleConfig { password_queue: 0, ..PeopleConfig::default() });
        let refused = passwords.hash(&SecretString::from("x")).await.unwrap_err();
        assert_eq!((refused.code(), refused.retry_after()), (ErrorCode::Overloaded, Some(1)));
    }

    #[test]
    fn what_is_stored_by_default_is_what_owasp_asks_for() {
        let passwords = Passwords::new(&PeopleConfig::default());
        assert_eq!(beginning(&passwords.params), "$argon2id$v=19$m=19456,t=2,p=1$");
    }
}
