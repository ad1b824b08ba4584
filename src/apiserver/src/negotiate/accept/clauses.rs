//! The ranges of an `Accept` header, read and ordered as the library does that upstream uses
//! (`github.com/munnerz/goautoneg`), with its habits: what cannot be read is passed over.

/// One media range with its parameters.
#[derive(Debug, Clone)]
pub(crate) struct Clause<'a> {
    kind: &'a str,
    subtype: &'a str,
    quality: f32,
    parameters: Vec<(&'a str, &'a str)>,
}

/// Up to so many ranges Go's sort keeps what its comparison leaves undecided in place.
const FEW: usize = 12;

impl<'a> Clause<'a> {
    fn read(range: &'a str) -> Option<Clause<'a>> {
        let (media, parameters) = range.split_once(';').unwrap_or((range, ""));
        let (kind, subtype) = match media.split_once('/') {
            Some((kind, subtype)) if !subtype.is_empty() => (spaceless(kind), subtype),
            _ if spaceless(media.trim_end_matches('/')) == "*" => ("*", "*"),
            _ => return None,
        };
        if subtype.split_once('/').is_some_and(|(_, rest)| !rest.is_empty()) {
            return None;
        }
        let subtype = spaceless(subtype.trim_end_matches('/'));
        let mut clause = Clause { kind, subtype, quality: 1.0, parameters: Vec::new() };
        parameters.split(';').for_each(|parameter| clause.add(parameter));
        Some(clause)
    }

    fn add(&mut self, parameter: &'a str) {
        let Some((name, value)) = parameter.split_once('=') else { return };
        let value = value.strip_suffix('=').unwrap_or(value);
        if value.is_empty() || value.contains('=') {
            return;
        }
        match spaceless(name) {
            "q" => self.quality = value.parse().ok().filter(|quality: &f32| !quality.is_nan()).unwrap_or(0.0),
            name => self.parameters.push((name, spaceless(value))),
        }
    }

    /// A parameter's value; empty where it is not given.
    pub(crate) fn parameter(&self, name: &str) -> &'a str {
        self.parameters.iter().rfind(|(own, _)| *own == name).map_or("", |(_, value)| value)
    }

    /// Whether it says that objects be transformed.
    pub(super) fn asks_for_another_form(&self) -> bool {
        ["as", "g", "v"].iter().any(|name| !self.parameter(name).is_empty())
    }

    /// Whether a media type is within the range.
    pub(crate) fn meets(&self, media_type: &str) -> bool {
        match (self.kind, self.subtype) {
            ("*", "*") => true,
            (kind, subtype) => media_type
                .split_once('/')
                .is_some_and(|(own, rest)| own == kind && (subtype == "*" || subtype == rest)),
        }
    }

    /// Upstream's comparison. It contradicts itself: of a poor range without an asterisk and a better one with, each goes
    /// before the other.
    fn goes_before(&self, other: &Clause<'_>) -> bool {
        self.quality > other.quality
            || (self.kind != "*" && other.kind == "*")
            || (self.subtype != "*" && other.subtype == "*")
    }
}

/// The ranges of a header, the client's favourite first.
pub(crate) fn clauses(header: &str) -> Vec<Clause<'_>> {
    let mut clauses: Vec<Clause<'_>> =
        header.split(',').filter_map(|range| Clause::read(spaceless(range))).collect();
    if clauses.len() > FEW {
        clauses.sort_by(|a, b| b.quality.total_cmp(&a.quality));
        return clauses;
    }
    // Sorting by insertion, as Go does so few: with such a comparison the way decides the outcome.
    for end in 1..clauses.len() {
        let mut place = end;
        while place > 0 && clauses[place].goes_before(&clauses[place - 1]) {
            clauses.swap(place, place - 1);
            place -= 1;
        }
    }
    clauses
}

fn spaceless(text: &str) -> &str {
    text.trim_matches(' ')
}
