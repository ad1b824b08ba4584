//! Who a container runs as: numbers from numbers and names, looked up in the image's own `/etc/passwd` and `/etc/group`.

use std::path::Path;

use cri::v1;

use super::rootfs::read_in;
use crate::error::{Error, Result};

/// The user of a container: what the request says, else what the image says, else root.
pub(super) fn resolve(
    security: &v1::LinuxContainerSecurityContext,
    image_user: &str,
    rootfs: &Path,
) -> Result<v1::LinuxContainerUser> {
    let database = Database { passwd: read_in(rootfs, "/etc/passwd"), group: read_in(rootfs, "/etc/group") };
    let group = security.run_as_group.as_ref().map(|group| group.value);
    if group.is_some() && security.run_as_user.is_none() && security.run_as_username.is_empty() {
        return Err(Error::Invalid("runAsGroup is specified without runAsUser".to_owned()));
    }
    let wanted = match &security.run_as_user {
        Some(uid) => uid.value.to_string(),
        None if !security.run_as_username.is_empty() => security.run_as_username.clone(),
        None => image_user.to_owned(),
    };
    let mut user = database.find(&wanted)?;
    if let Some(gid) = group {
        user.gid = id(gid)?;
    }
    let mut groups = vec![user.gid];
    if security.supplemental_groups_policy == v1::SupplementalGroupsPolicy::Merge as i32 {
        groups.extend(database.groups_of(&user.name));
    }
    for gid in &security.supplemental_groups {
        groups.push(id(*gid)?);
    }
    let mut seen = std::collections::HashSet::new();
    groups.retain(|gid| seen.insert(*gid));
    Ok(v1::LinuxContainerUser {
        uid: user.uid.into(),
        gid: user.gid.into(),
        supplemental_groups: groups.into_iter().map(i64::from).collect(),
    })
}

struct Found {
    uid: u32,
    gid: u32,
    name: String,
}

struct Database {
    passwd: String,
    group: String,
}

impl Database {
    /// `user`, `uid`, `user:group` or any mix; empty is root.
    fn find(&self, text: &str) -> Result<Found> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let mut found = self.user(if user.is_empty() { "0" } else { user })?;
        if let Some(group) = group.filter(|group| !group.is_empty()) {
            found.gid = self.gid(group)?;
        }
        Ok(found)
    }

    /// A number need not be in the file; a name must.
    fn user(&self, user: &str) -> Result<Found> {
        let number = user.parse::<u32>().ok();
        let matches = |fields: &Vec<&str>| match number {
            Some(uid) => fields.get(2).and_then(|f| f.parse().ok()) == Some(uid),
            None => fields.first() == Some(&user),
        };
        let line = self.passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(matches);
        match (line, number) {
            (Some(fields), _) => Ok(Found {
                uid: field(&fields, 2)?,
                gid: field(&fields, 3)?,
                name: fields.first().copied().unwrap_or_default().to_owned(),
            }),
            (None, Some(uid)) => Ok(Found { uid, gid: 0, name: String::new() }),
            (None, None) => {
                Err(Error::Start(format!("unable to find user {user}: no matching entries in passwd file")))
            }
        }
    }

    fn gid(&self, group: &str) -> Result<u32> {
        if let Ok(gid) = group.parse() {
            return Ok(gid);
        }
        let mut lines = self.group.lines().map(|line| line.split(':').collect::<Vec<_>>());
        match lines.find(|fields| fields.first() == Some(&group)) {
            Some(fields) => field(&fields, 2),
            None => {
                Err(Error::Start(format!("unable to find group {group}: no matching entries in group file")))
            }
        }
    }

    /// The groups that list `name` as a member.
    fn groups_of(&self, name: &str) -> Vec<u32> {
        let is_member = |fields: &Vec<&str>| {
            !name.is_empty() && fields.get(3).is_some_and(|members| members.split(',').any(|m| m == name))
        };
        let lines = self.group.lines().map(|line| line.split(':').collect::<Vec<_>>());
        lines.filter(is_member).filter_map(|fields| fields.get(2)?.parse().ok()).collect()
    }
}

fn field(fields: &[&str], index: usize) -> Result<u32> {
    fields.get(index).and_then(|text| text.parse().ok()).ok_or_else(|| {
        Error::Start(format!("damaged entry {:?} in the image's user files", fields.join(":")))
    })
}

fn id(number: i64) -> Result<u32> {
    u32::try_from(number).map_err(|_| Error::Invalid(format!("{number} is no user or group ID")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<(u32, u32), &str>) {
        let database = Database {
            passwd: "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/var:/bin/false\n".to_owned(),
            group: "root:x:0:\nmedia:x:50:web,other\n".to_owned(),
        };
        let found = database.find(text);
        match expected {
            Ok(ids) => assert_eq!(found.map(|f| (f.uid, f.gid)).unwrap(), ids, "{text}"),
            Err(message) => assert!(found.err().unwrap().to_string().contains(message), "{text}"),
        }
    }

    #[test]
    fn users_are_found_by_name_and_number() {
        check("", Ok((0, 0)));
        check("web", Ok((33, 34)));
        check("33", Ok((33, 34)));
        check("1000", Ok((1000, 0)));
        check("web:media", Ok((33, 50)));
        check("1000:2000", Ok((1000, 2000)));
        check("nobody", Err("unable to find user nobody"));
        check("web:nogroup", Err("unable to find group nogroup"));
    }

    #[test]
    fn groups_of_the_image_are_merged_or_not() {
        let scratch = crate::scratch::Scratch::new();
        std::fs::create_dir(scratch.path().join("etc")).unwrap();
        std::fs::write(scratch.path().join("etc/passwd"), "web:x:33:34::/:/\n").unwrap();
        std::fs::write(scratch.path().join("etc/group"), "media:x:50:web\n").unwrap();
        let security =
            v1::LinuxContainerSecurityContext { supplemental_groups: vec![60, 34], ..Default::default() };
        assert_eq!(resolve(&security, "web", scratch.path()).unwrap().supplemental_groups, [34, 50, 60]);
        let strict = v1::LinuxContainerSecurityContext { supplemental_groups_policy: 1, ..security };
        assert_eq!(resolve(&strict, "web", scratch.path()).unwrap().supplemental_groups, [34, 60]);
    }
}
