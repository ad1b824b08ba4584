//! Several sources in one volume: config maps, secrets, fields, service account tokens.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, ServiceAccountTokenProjection, Volume, VolumeProjection};

use super::{
    Error, SetUp,
    atomic::{self, File, Files},
    blocking, config_map, downward_api, items, secret, tmpfs,
};
use crate::pod;

pub(super) struct Plugin;

#[async_trait::async_trait]
impl super::Plugin for Plugin {
    fn name(&self) -> &'static str {
        "kubernetes.io/projected"
    }

    fn handles(&self, volume: &Volume) -> bool {
        volume.projected.is_some()
    }

    fn is_read_only(&self) -> bool {
        true
    }

    async fn set_up(&self, cx: &SetUp<'_>) -> Result<Option<Timestamp>, Error> {
        let Some(source) = &cx.volume.projected else { return Ok(None) };
        let mode = items::mode(source.default_mode.unwrap_or(items::DEFAULT_MODE));
        let mut files = Files::new();
        let mut refresh = None;
        for part in source.sources.iter().flatten() {
            let (of_part, refresh_at) = part_files(cx, part, mode).await?;
            files.extend(of_part);
            refresh = refresh.into_iter().chain(refresh_at).min();
        }
        let fs_group = config_map::fs_group(cx.pod);
        let dir = cx.dir.clone();
        blocking(move || {
            tmpfs::ensure(&dir, tmpfs::PLAIN)?;
            atomic::write(&dir, &files, fs_group)
        })
        .await?;
        Ok(refresh)
    }
}

async fn part_files(
    cx: &SetUp<'_>,
    part: &VolumeProjection,
    mode: u32,
) -> Result<(Files, Option<Timestamp>), Error> {
    if let Some(source) = &part.config_map {
        let optional = source.optional == Some(true);
        let files = config_map::files(cx.objects, &source.name, source.items.as_deref(), mode, optional)?;
        return Ok((files, None));
    }
    if let Some(source) = &part.secret {
        let optional = source.optional == Some(true);
        let files = secret::files(cx.objects, &source.name, source.items.as_deref(), mode, optional)?;
        return Ok((files, None));
    }
    if let Some(source) = &part.downward_api {
        let list = source.items.as_deref().unwrap_or_default();
        return Ok((downward_api::files(cx, list, mode)?, None));
    }
    if let Some(source) = &part.service_account_token {
        return token(cx, source, mode).await;
    }
    Err(Error::Source("this kind of projected source is not supported".into()))
}

async fn token(
    cx: &SetUp<'_>,
    source: &ServiceAccountTokenProjection,
    mode: u32,
) -> Result<(Files, Option<Timestamp>), Error> {
    let audience = source.audience.as_deref().filter(|audience| !audience.is_empty());
    let seconds = source.expiration_seconds.unwrap_or(3600);
    let token = cx
        .tokens
        .get(cx.pod, audience, seconds)
        .await
        .map_err(|error| Error::Source(format!("failed to fetch token: {error}")))?;
    let owner = common_user(cx.pod);
    // Where the one reader is known, nobody else reads it.
    let mode = if owner.is_some() || config_map::fs_group(cx.pod).is_some() { 0o600 } else { mode };
    let file = File { data: token.token.into_bytes(), mode, owner };
    Ok((Files::from([(source.path.clone(), file)]), Some(token.refresh_at)))
}

/// The user that all containers of a pod run as, if the spec says so.
fn common_user(pod: &Pod) -> Option<u32> {
    let spec = pod::spec(pod);
    let of_pod = spec.security_context.as_ref().and_then(|context| context.run_as_user);
    let mut users = pod::containers(spec).map(|(_, container)| {
        container.security_context.as_ref().and_then(|context| context.run_as_user).or(of_pod)
    });
    let first = users.next()??;
    users.all(|user| user == Some(first)).then(|| u32::try_from(first).ok()).flatten()
}
