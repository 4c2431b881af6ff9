//! Whether somebody who is trusted vouches for a release that is about to be used.
//!
//! The keys are those that the payload names, as far as they are pinned; the signatures come from
//! the bundle, or from stores. That nobody vouches can be accepted; that a signature is wrong
//! cannot.

use serde::Serialize;
use tokio::runtime::Handle;

use super::payload::Payload;
use super::signatures::{Store, verify_release};
use crate::content::release::signature::{self, SignatureError, Verified};
use crate::content::release::trust::ReleaseTrust;
use crate::content::release::verification_config::VerificationConfig;
use crate::model::{Digest, ReleaseSignature, Timestamp};
use crate::ops::context::Context;
use crate::ops::error::{Class, Error, Result, chain};
use crate::registry::Client;

/// What is known and accepted about who made a release.
#[derive(Debug)]
pub struct Verification {
    /// Whose word counts.
    pub trust: ReleaseTrust,
    /// Where signatures are, instead of where the payload says; asked before a bundle's own.
    pub stores: Vec<Store>,
    /// Accept that nobody who is trusted vouches for it. Where a release is only read, stores that
    /// the payload names are not asked then.
    pub allow_unsigned: bool,
    /// How to ask stores.
    pub client: Client,
    /// What time it is.
    pub now: Timestamp,
}

/// Who vouches for a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Vouching {
    /// The owners of these keys, one line for each.
    SignedBy(Vec<String>),
    /// Nobody, for this reason; it was accepted.
    Unsigned(String),
}

impl Verification {
    /// Verifies a payload. Blocks.
    pub(super) fn verify(&self, payload: &Payload, context: &Context) -> Result<Vouching> {
        let error = match self.judge(payload) {
            Ok(verified) => return Ok(Vouching::SignedBy(self.names(&verified))),
            Err(error) => error,
        };
        let cause = std::error::Error::source(&error);
        let cause = cause.and_then(|cause| cause.downcast_ref::<SignatureError>());
        if !self.allow_unsigned || cause.is_some_and(is_wrong) {
            let absent = !cause.is_some_and(is_wrong);
            return Err(match absent {
                true => error.hint("--allow-unsigned-release accepts that nobody vouches for it"),
                false => error,
            });
        }
        let why = chain(&error);
        context.warn(format!(
            "nobody who is trusted vouches for the release: {why}"
        ));
        Ok(Vouching::Unsigned(why))
    }

    fn judge(&self, payload: &Payload) -> Result<Verified> {
        let manifests = payload.manifests();
        let config = VerificationConfig::find(manifests).map_err(|error| {
            let message = format!("{} cannot be verified", payload.pull_spec);
            Error::new(Class::NotAuthenticated, message).caused_by(error)
        })?;
        let config = config.ok_or_else(|| {
            let message = format!(
                "{} names no keys with which it could be verified",
                payload.pull_spec
            );
            Error::new(Class::NotAuthenticated, message)
        })?;
        // What is signed is the image that was read, or the list in which it is.
        let mut digests = vec![payload.digest(), payload.image.digest];
        digests.dedup();
        let mut failure: Option<Error> = None;
        for digest in digests {
            match self.about(payload, &digest, &config) {
                Ok(verified) => return Ok(verified),
                Err(error) => failure = Some(worse(failure, error)),
            }
        }
        Err(failure.unwrap_or_else(|| Error::usage("There is nothing to verify")))
    }

    /// Looks for signatures of one digest.
    fn about(
        &self,
        payload: &Payload,
        digest: &Digest,
        config: &VerificationConfig,
    ) -> Result<Verified> {
        let carried = payload.signatures.iter();
        let carried = carried.filter(|signature| signature.over == *digest);
        let carried: Vec<Vec<u8>> = carried
            .map(|ReleaseSignature { message, .. }| message.clone())
            .collect();
        let in_bundle = signature::verify(digest, config, &self.trust, &carried, self.now);
        let missing = match in_bundle {
            Ok(verified) => return Ok(verified),
            Err(error) => error,
        };
        let stores = match (&*self.stores, payload.in_bundle || self.allow_unsigned) {
            ([], true) => Vec::new(),
            ([], false) => Store::configured(config),
            (named, _) => named.to_vec(),
        };
        if stores.is_empty() {
            let message =
                format!("The signatures of the release {digest} do not prove who made it");
            return Err(Error::new(Class::NotAuthenticated, message).caused_by(missing));
        }
        let found = verify_release(&self.client, &stores, digest, config, &self.trust, self.now);
        let found = Handle::current().block_on(found)?;
        Ok(found.verified)
    }

    fn names(&self, verified: &Verified) -> Vec<String> {
        let keyrings = verified.keyrings.iter();
        let line = |keyring: &signature::SatisfiedKeyring| match self.trust.name(&keyring.key) {
            Some(name) => format!("{name} ({})", keyring.key),
            None => keyring.key.to_string(),
        };
        keyrings.map(line).collect()
    }
}

/// Whether a signature is worse than none: it is forged, or for something else.
fn is_wrong(error: &SignatureError) -> bool {
    matches!(
        error,
        SignatureError::BadSignature { .. }
            | SignatureError::WrongDigest { .. }
            | SignatureError::UnexpectedBody { .. }
            | SignatureError::RevokedKey { .. }
    )
}

/// Of two failures the one about a signature that is there.
fn worse(one: Option<Error>, other: Error) -> Error {
    let is_there = |error: &Error| {
        let cause = std::error::Error::source(error);
        let cause = cause.and_then(|cause| cause.downcast_ref::<SignatureError>());
        cause.is_some_and(|cause| !matches!(cause, SignatureError::NoSignature { .. }))
    };
    match one {
        Some(one) if is_there(&one) || !is_there(&other) => one,
        _ => other,
    }
}
