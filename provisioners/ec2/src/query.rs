//! The parameters of a call, as the Query protocol writes them: lists as `Name.1`, structures as `Name.Member`.

/// Parameters in the order in which they were added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// One more.
    pub(crate) fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.push((name.into(), value.into()));
        self
    }

    /// One more, where there is a value.
    pub(crate) fn maybe(self, name: &str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// One more, where it is so; EC2 takes what is left out for false.
    pub(crate) fn flag(self, name: &str, set: bool) -> Self {
        if set { self.with(name, "true") } else { self }
    }

    /// `name.1`, `name.2`, ...
    pub(crate) fn list(self, name: &str, values: impl IntoIterator<Item = impl Into<String>>) -> Self {
        values.into_iter().enumerate().fold(self, |query, (at, value)| query.with(format!("{name}.{}", at + 1), value))
    }

    /// Filters: all of them must hold, each with any of its values.
    pub(crate) fn filters(mut self, filters: &[Filter]) -> Self {
        for (at, filter) in filters.iter().enumerate() {
            let prefix = format!("Filter.{}", at + 1);
            self = self.with(format!("{prefix}.Name"), &filter.name).list(&format!("{prefix}.Value"), &filter.values);
        }
        self
    }

    /// Tags, under a prefix such as `TagSpecification.1`.
    pub(crate) fn tags(mut self, prefix: &str, tags: &[(String, String)]) -> Self {
        for (at, (key, value)) in tags.iter().enumerate() {
            let tag = format!("{prefix}.Tag.{}", at + 1);
            self = self.with(format!("{tag}.Key"), key).with(format!("{tag}.Value"), value);
        }
        self
    }

    /// The parameters.
    #[cfg(test)]
    pub(crate) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// `a=1&b=2`, percent-encoded.
    pub(crate) fn form(&self) -> String {
        let pair = |(name, value): &(String, String)| format!("{}={}", encoded(name), encoded(value));
        self.0.iter().map(pair).collect::<Vec<_>>().join("&")
    }
}

/// What a listing is narrowed by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Its name, such as `tag:machine:token`.
    pub name: String,
    /// The values, of which one has to be.
    pub values: Vec<String>,
}

impl Filter {
    /// A filter with one value.
    pub fn one(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), values: vec![value.into()] }
    }
}

/// Percent-encodes all but RFC 3986's unreserved characters.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_filters_and_tags_are_numbered_from_one_and_all_is_percent_encoded() {
        let query = Query::new()
            .list("InstanceId", ["i-1", "i-2"])
            .filters(&[Filter { name: "tag:a b".into(), values: vec!["x".into(), "y&z=ä".into()] }])
            .tags("TagSpecification.1", &[("k".into(), "v+".into())])
            .flag("DryRun", true)
            .flag("Force", false)
            .maybe("KeyName", None::<String>);
        assert_eq!(
            query.form(),
            "InstanceId.1=i-1&InstanceId.2=i-2&Filter.1.Name=tag%3Aa%20b&Filter.1.Value.1=x&Filter.1.Value.2=y%26z%3D%C3%A4\
             &TagSpecification.1.Tag.1.Key=k&TagSpecification.1.Tag.1.Value=v%2B&DryRun=true"
        );
    }
}
