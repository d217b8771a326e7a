"""Write the schema files anew, after a record has gained a field."""

from invbench.runs.schema import RECORDS, file_of, text_of

for schema in RECORDS:
    file_of(schema).write_text(text_of(schema))
