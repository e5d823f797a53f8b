"""The rules that come with DPL. Going back leaves them: people may have changed them."""

from django.db import migrations

from alerts.defaults import install


def make(apps, schema_editor):
    """Install those that were never made."""
    install(apps.get_model("alerts", "Rule"))


class Migration(migrations.Migration):
    dependencies = [("alerts", "0001_initial")]
    operations = [migrations.RunPython(make, migrations.RunPython.noop)]
