//! Whether a release may be used: what is known of its signatures, and what is accepted.
//!
//! The keys are those that the payload names, as far as they are pinned; the signatures come from
//! the bundle, or from stores. That there is no signature can be accepted; nothing else can.

use serde::Serialize;

use super::signatures::{GatheredSignatures, Store};
use super::signer::ReleaseSigner;
use crate::content::release::judgement::{
    Absence, Fault, Judgement, Signed, Standard, Subject, judge,
};
use crate::content::release::trust::ReleaseTrust;
use crate::content::release::verification_config::VerificationConfig;
use crate::error::{Class, Error, Result};
use crate::model::{Digest, Reference, ReleaseSignature, Timestamp};
use crate::ops::context::Context;
use crate::registry::Client;

/// What is known and accepted about who made a release.
#[derive(Debug)]
pub struct Verification {
    /// Whose word counts.
    pub trust: ReleaseTrust,
    /// Where signatures are, instead of where the payload says.
    pub stores: Vec<Store>,
    /// Accept a release that has no signature.
    pub allow_unsigned: bool,
    /// How to ask stores.
    pub client: Client,
    /// What time it is.
    pub now: Timestamp,
}

/// A release that is about to be used.
#[derive(Debug)]
pub struct Release<'a> {
    /// What to call it.
    pub name: &'a Reference,
    /// What has to be signed.
    pub subject: Subject,
    /// How its payload wants to be verified.
    pub config: Option<&'a VerificationConfig>,
    /// The signatures that its bundle carries; `None` when it comes from a registry. The stores
    /// that the payload names are not asked about one in a bundle.
    pub carried: Option<Vec<ReleaseSignature>>,
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

/// A release that may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// Pinned keys have signed it.
    Signed(Vec<Signed>),
    /// It has no signature, and that is accepted.
    Unsigned(Absence),
}

impl Verification {
    /// Finds a release's signatures and judges it; what must not be used is an error.
    ///
    /// # Errors
    ///
    /// [`Class::NotAuthenticated`] when it has signatures that prove nothing, or none and that is
    /// not accepted; [`Class::Network`] when no store could be reached. Which stores failed
    /// stands in the hints.
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
                let message = format!("Nobody vouches for the release {}: {why}", release.name);
                Err(Error::new(Class::NotAuthenticated, message)
                    .hint("--signature-store names another place to look for signatures")
                    .hint("--allow-unsigned-release accepts that it has none"))
            }
            Judgement::Wrong(fault) => Err(self.refused(release, fault, &gathered)),
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

    /// The judgement, and what it is built on.
    async fn judge(&self, release: &Release<'_>) -> Result<(Judgement, GatheredSignatures)> {
        let standard = Standard {
            config: release.config,
            trust: &self.trust,
            now: self.now,
        };
        let subject = &release.subject;
        let mut gathered = GatheredSignatures::carried(release.carried.clone().unwrap_or_default());
        let early = judge(subject, &standard, &gathered.evidence());
        // Who accepts unsigned releases has to learn whether this is one. Everybody else does not
        // ask strangers' stores about keys that nobody has pinned.
        let hopeless = standard.hopeless(subject).filter(|_| !self.allow_unsigned);
        match (&early, hopeless) {
            (Judgement::Signed(_), _) => return Ok((early, gathered)),
            (_, Some(fault)) => return Ok((Judgement::Wrong(fault), gathered)),
            _ => {}
        }
        let stores = self.stores(release);
        if release.config.is_none() || stores.is_empty() {
            return Ok((early, gathered));
        }
        self.ask(&mut gathered, &stores, &subject.root, &standard)
            .await?;
        let judgement = judge(subject, &standard, &gathered.evidence());
        // Signatures of a list stand for its images, also bad ones.
        if matches!(judgement, Judgement::Absent(_) | Judgement::Unknown(_)) {
            for image in &subject.images {
                self.ask(&mut gathered, &stores, image, &standard).await?;
            }
        }
        let judgement = judge(subject, &standard, &gathered.evidence());
        Ok((judgement, gathered))
    }

    /// Asks stores about one manifest.
    async fn ask(
        &self,
        gathered: &mut GatheredSignatures,
        stores: &[Store],
        digest: &Digest,
        standard: &Standard<'_>,
    ) -> Result<()> {
        let enough = |messages: &[Vec<u8>]| {
            let verified = standard.verify(digest, messages);
            verified.is_some_and(|verified| verified.is_ok())
        };
        gathered.ask(&self.client, stores, digest, enough).await
    }

    /// The stores that are asked about a release.
    fn stores(&self, release: &Release<'_>) -> Vec<Store> {
        match (self.stores.as_slice(), release.config, &release.carried) {
            ([], Some(config), None) => Store::configured(config),
            (named, ..) => named.to_vec(),
        }
    }

    fn refused(&self, release: &Release<'_>, fault: Fault, gathered: &GatheredSignatures) -> Error {
        let message = match fault {
            Fault::PartlySigned { .. } => {
                format!("Nobody vouches for all of the release {}", release.name)
            }
            _ => format!(
                "The signatures of the release {} do not prove who made it",
                release.name
            ),
        };
        let error = Error::new(Class::NotAuthenticated, message);
        // What it says of signatures is the cause, also for who looks for it there.
        let error = match fault {
            Fault::Signature(fault) => error.caused_by(fault),
            fault => error.caused_by(fault),
        };
        gathered.failures().fold(error, Error::hint)
    }

    /// The keys that have signed, each once.
    fn signers(&self, signed: &[Signed]) -> Vec<ReleaseSigner> {
        ReleaseSigner::all(signed, &self.trust)
    }

    /// Who vouches for a release that was accepted.
    pub(super) fn vouching(&self, accepted: &Accepted) -> Vouching {
        match accepted {
            Accepted::Signed(signed) => {
                let signers = self.signers(signed);
                Vouching::SignedBy(signers.iter().map(ToString::to_string).collect())
            }
            Accepted::Unsigned(why) => Vouching::Unsigned(why.to_string()),
        }
    }
}
