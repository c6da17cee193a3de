"""Rendering of the package's templates. All values are escaped, except markup that this package made."""

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


def render(template: str, **context: object) -> Markup:
    """Render one of the templates of this package."""
    environment = Environment(
        loader=PackageLoader("clearcast.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return Markup(environment.get_template(template).render(context))
