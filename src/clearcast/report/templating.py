"""Fill the package's templates. Everything put into them is escaped unless it is markup made here."""

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


def render(template: str, **context: object) -> Markup:
    """Fill one of the templates beside this module."""
    environment = Environment(
        loader=PackageLoader("clearcast.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return Markup(environment.get_template(template).render(context))
