//! Decides if a release may be used, by its signatures and by what the operator accepts.
//!
//! Accepted keys are those that the payload names, as far as they are pinned; signatures come from
//! the bundle, or from stores. A missing signature can be accepted, an invalid one cannot.

use serde::Serialize;

use super::signatures::{GatheredSignatures, Store};
use super::signer::ReleaseSigner;
use crate::content::release::judgement::{
    Fault, Judgement, NoSignatureReason, Policy, Signed, Subject, judge,
};
use crate::content::release::trust::ReleaseTrust;
use crate::content::release::verification_config::VerificationConfig;
use crate::error::{Class, Error, Result};
use crate::model::{Digest, Reference, ReleaseSignature, Timestamp};
use crate::ops::context::Context;
use crate::registry::Client;

/// Rules and sources for the verification of releases.
#[derive(Debug)]
pub struct Verification {
    /// Pinned keys.
    pub trust: ReleaseTrust,
    /// Signature stores to use instead of those that the payload names.
    pub stores: Vec<Store>,
    /// True to accept a release without signatures.
    pub allow_unsigned: bool,
    /// Client for stores.
    pub client: Client,
    /// Current time.
    pub now: Timestamp,
}

/// A release to verify.
#[derive(Debug)]
pub struct Release<'a> {
    /// Name for messages.
    pub name: &'a Reference,
    /// The top manifest, and the images of a list: either it or all of them must be signed.
    pub subject: Subject,
    /// Keys and stores that its payload names.
    pub config: Option<&'a VerificationConfig>,
    /// Signatures carried by its bundle; `None` if it comes from a registry. For a release in a
    /// bundle, the stores that the payload names are not asked.
    pub carried: Option<Vec<ReleaseSignature>>,
}

/// Origin of the trust in a release, for reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureStatus {
    /// Keys that signed it, one line for each.
    SignedBy(Vec<String>),
    /// No key, for this reason; the operator accepted that.
    Unsigned(String),
}

/// A release that may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// Pinned keys signed it.
    Signed(Vec<Signed>),
    /// It has no signature, and that is accepted.
    Unsigned(NoSignatureReason),
}

impl Verification {
    /// Finds a release's signatures and judges it.
    ///
    /// # Errors
    ///
    /// [`Class::NotAuthenticated`] when its signatures are not valid, or when it has none and that
    /// is not accepted; [`Class::Network`] when no store could be reached. Hints name the stores
    /// that failed.
    pub async fn verify(&self, release: &Release<'_>, context: &Context) -> Result<Accepted> {
        tokio::select! {
            verified = self.decide(release, context) => verified,
            () = context.cancel.cancelled() => Err(Error::interrupted()),
        }
    }

    async fn decide(&self, release: &Release<'_>, context: &Context) -> Result<Accepted> {
        let (judgement, gathered) = self.judge(release).await?;
        match judgement {
            Judgement::Signed(signed) => {
                for signer in self.signers(&signed) {
                    if let Some(expired) = signer.key_expired {
                        context.warn(format!(
                            "{} is signed by {}, a key that expired {expired}",
                            release.name, signer.key
                        ));
                    }
                }
                Ok(Accepted::Signed(signed))
            }
            Judgement::Absent(why) if self.allow_unsigned => {
                context.warn(format!(
                    "{} is UNSIGNED and accepted as it is: {why}",
                    release.name
                ));
                Ok(Accepted::Unsigned(why))
            }
            Judgement::Absent(why) => {
                let message = format!("The release {} is not signed: {why}", release.name);
                Err(Error::new(Class::NotAuthenticated, message)
                    .hint("--signature-store names another place to look for signatures")
                    .hint("--allow-unsigned-release accepts that it has none"))
            }
            Judgement::Invalid(fault) => Err(self.refused(release, fault, &gathered)),
            Judgement::Unknown(_) if gathered.is_cut_off(self.stores(release).as_slice()) => {
                let message = format!(
                    "No store with signatures of the release {} can be reached",
                    release.name
                );
                let error = Error::new(Class::Network, message)
                    .hint("name a store that can be reached with --signature-store; the directory with the cluster resources of its import is one");
                Err(gathered.failures().fold(error, Error::hint))
            }
            Judgement::Unknown(fault) => Err(self.refused(release, fault, &gathered)),
        }
    }

    /// Returns the judgement and its evidence.
    async fn judge(&self, release: &Release<'_>) -> Result<(Judgement, GatheredSignatures)> {
        let policy = Policy {
            config: release.config,
            trust: &self.trust,
            now: self.now,
        };
        let subject = &release.subject;
        let mut gathered = GatheredSignatures::carried(release.carried.clone().unwrap_or_default());
        let early = judge(subject, &policy, &gathered.evidence());
        // With `allow_unsigned`, the stores must show if the release is unsigned. Otherwise, if no
        // key that it names is pinned, its stores are not asked: they could not change the result.
        let no_pinned_key = policy
            .no_pinned_key(subject)
            .filter(|_| !self.allow_unsigned);
        match (&early, no_pinned_key) {
            (Judgement::Signed(_), _) => return Ok((early, gathered)),
            (_, Some(fault)) => return Ok((Judgement::Invalid(fault), gathered)),
            _ => {}
        }
        let stores = self.stores(release);
        if release.config.is_none() || stores.is_empty() {
            return Ok((early, gathered));
        }
        self.ask(&mut gathered, &stores, &subject.root, &policy)
            .await?;
        let judgement = judge(subject, &policy, &gathered.evidence());
        // If the list itself has signatures, even invalid ones, those of its images do not count.
        if matches!(judgement, Judgement::Absent(_) | Judgement::Unknown(_)) {
            for image in &subject.images {
                self.ask(&mut gathered, &stores, image, &policy).await?;
            }
        }
        let judgement = judge(subject, &policy, &gathered.evidence());
        Ok((judgement, gathered))
    }

    /// Asks stores for signatures over one manifest.
    async fn ask(
        &self,
        gathered: &mut GatheredSignatures,
        stores: &[Store],
        digest: &Digest,
        policy: &Policy<'_>,
    ) -> Result<()> {
        let enough = |messages: &[Vec<u8>]| {
            let verified = policy.verify(digest, messages);
            verified.is_some_and(|verified| verified.is_ok())
        };
        gathered.ask(&self.client, stores, digest, enough).await
    }

    /// Returns the stores to ask about a release.
    fn stores(&self, release: &Release<'_>) -> Vec<Store> {
        match (self.stores.as_slice(), release.config, &release.carried) {
            ([], Some(config), None) => Store::configured(config),
            (named, ..) => named.to_vec(),
        }
    }

    fn refused(&self, release: &Release<'_>, fault: Fault, gathered: &GatheredSignatures) -> Error {
        let message = match fault {
            Fault::PartlySigned { .. } => {
                format!(
                    "Only some images of the release {} are signed",
                    release.name
                )
            }
            _ => format!(
                "No trusted key has validly signed the release {}",
                release.name
            ),
        };
        let error = Error::new(Class::NotAuthenticated, message);
        // Makes the signature error itself the cause, so that callers that inspect the cause find
        // it.
        let error = match fault {
            Fault::Signature(fault) => error.caused_by(fault),
            fault => error.caused_by(fault),
        };
        gathered.failures().fold(error, Error::hint)
    }

    /// Returns the keys that signed, each once.
    fn signers(&self, signed: &[Signed]) -> Vec<ReleaseSigner> {
        ReleaseSigner::all(signed, &self.trust)
    }

    /// Describes the origin of trust in a release that was accepted.
    pub(super) fn status(&self, accepted: &Accepted) -> SignatureStatus {
        match accepted {
            Accepted::Signed(signed) => {
                let signers = self.signers(signed);
                SignatureStatus::SignedBy(signers.iter().map(ToString::to_string).collect())
            }
            Accepted::Unsigned(why) => SignatureStatus::Unsigned(why.to_string()),
        }
    }
}
