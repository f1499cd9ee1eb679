"""L4: from a Spec to a Plan, from a Plan to a System, and the Artifact that formats make of it."""
