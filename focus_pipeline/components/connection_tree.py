"""defs/ as Dagster loads it, but for one thing: a connection or a mart that cannot be loaded is shown, and stops no
other."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from dagster.components.core.component_tree import ComponentTree
from dagster.components.core.context import ComponentDeclLoadContext, ComponentLoadContext
from dagster.components.core.decl import (
    ComponentDecl,
    DefsFolderDecl,
    YamlBackedComponentDecl,
    YamlDecl,
    YamlFileDecl,
    build_component_decl_from_yaml_document,
    build_filesystem_component_decl_from_context,
)
from dagster.components.core.defs_module import (
    EXPLICITLY_IGNORED_GLOB_PATTERNS,
    ComponentFileModel,
    ComponentLoc,  # noqa: F401  (a record looks here for the types of the fields that it inherits)
    ComponentPath,
    DefsFolderComponent,
    context_with_injected_scope,
    find_defs_or_component_yaml,
)
from dagster_shared.record import record
from dagster_shared.yaml_utils import parse_yamls_with_source_position
from dagster_shared.yaml_utils.source_position import (
    LineCol,
    SourcePosition,
    SourcePositionTree,
    ValueAndSourcePositionTree,
)
from pydantic import ValidationError

from focus_pipeline.components import alerts, exchange_rates
from focus_pipeline.components.connection import ConnectionComponent
from focus_pipeline.components.mart import Mart
from focus_pipeline.components.not_loaded import NotLoaded, NotLoadedError
from focus_pipeline.components.yaml_faults import document_faults, sentence, syntax_fault
from focus_pipeline.secrets_filter import without_secrets

__all__ = ["ConnectionTree", "NotLoadedError"]

# What is loaded once to see that it can be, and has a name of its own -> what it is called.
_OURS: dict[type, str] = {
    ConnectionComponent: "connection",
    Mart: "mart",
    exchange_rates.ExchangeRates: exchange_rates.WHAT,
    alerts.Alerts: alerts.WHAT,
}
# The types of connections have names of their own.
_BY_TYPE = {f"focus_pipeline.{kind.__name__}": what for kind, what in _OURS.items()}


@dataclass(frozen=True)
class _Place:
    """Where a document of a defs.yaml is. file: as it is named in messages. tree: what it says."""

    context: ComponentDeclLoadContext
    file: str
    tree: ValueAndSourcePositionTree

    @property
    def what(self) -> str:
        """What the document says that it is."""
        kind = self.tree.value.get("type") if isinstance(self.tree.value, dict) else None
        return _BY_TYPE.get(str(kind), _OURS[ConnectionComponent])

    @property
    def attributes(self) -> dict[str, object]:
        """The document's attributes as they are written, if it has any."""
        attributes = self.tree.value.get("attributes") if isinstance(self.tree.value, dict) else None
        return attributes if isinstance(attributes, dict) else {}

    @property
    def name(self) -> str | None:
        """What the document says that its connection or mart is called."""
        name = self.attributes.get("name")
        return name if isinstance(name, str) else None


class ConnectionTree(ComponentTree):
    """Dagster's tree of components. In the place of a connection or a mart that cannot be loaded there is a NotLoaded.

    A fault in a Python file of defs/ is raised, as Dagster does: it is the project's, not a connection's.
    """

    def not_loaded(self) -> list[NotLoaded]:
        """The connections and marts that cannot be loaded, in the order of their files."""
        return self.get_all_components(of_type=NotLoaded)

    def written_attributes(self, name: str) -> dict[str, object]:
        """The attributes of a connection as its defs.yaml has them, secrets by the names of their variables."""
        decls = [decl for file in _files(self._get_filesystem_decl()) for decl in file.decls]
        connections = [
            decl.component_file_model.attributes
            for decl in decls
            if isinstance(decl, YamlDecl) and issubclass(decl.component_type, ConnectionComponent)
        ]
        return next((dict(attributes) for attributes in connections if attributes["name"] == name), {})

    def sql_files(self) -> dict[str, Path]:
        """Mart -> the file of its SELECT."""
        found = {}
        for decl in (decl for file in _files(self._get_filesystem_decl()) for decl in file.decls):
            if isinstance(decl, YamlDecl) and issubclass(decl.component_type, Mart):
                attributes = decl.component_file_model.attributes
                found[attributes["name"]] = decl.context.path / attributes["sql"]
        return found

    def _get_filesystem_decl(self) -> ComponentDecl:
        loc = ComponentPath.from_path(self.defs_module_path)
        if self.state_tracker.get_cache_data(loc).component_decl is None:
            decl = self._folder(self.decl_load_context.for_component_loc(loc))
            self.state_tracker.set_cache_data(loc, component_decl=self._without_namesakes(decl))
        return self.state_tracker.get_cache_data(loc).component_decl

    def _folder(
        self, context: ComponentDeclLoadContext, written: ValueAndSourcePositionTree | None = None
    ) -> DefsFolderDecl:
        """written: what a defs.yaml of the folder itself says, of the type dagster.DefsFolderComponent."""
        model = ComponentFileModel.model_validate(written.value) if written else None
        children: dict[Path, ComponentDecl] = {}
        inherited = context_with_injected_scope(
            context, DefsFolderComponent, model.template_vars_module if model else None
        )
        for path in sorted(context.path.iterdir()):
            if any(Path(path.name).match(pattern) for pattern in EXPLICITLY_IGNORED_GLOB_PATTERNS):
                continue
            inner = inherited.for_component_loc(ComponentPath.from_path(path))
            if file := find_defs_or_component_yaml(path):
                children[path] = self._file(inner, file)
            elif path.is_dir():
                folder = self._folder(inner)
                if folder.children:
                    children[path] = folder
            elif (decl := build_filesystem_component_decl_from_context(inner)) is not None:
                children[path] = decl
        return DefsFolderDecl(
            context=context,
            loc=ComponentPath.from_path(context.path),
            children=children,
            source_tree=written,
            component_file_model=model,
        )

    def _file(self, context: ComponentDeclLoadContext, written: Path) -> ComponentDecl:
        file = written.relative_to(self.defs_module_path.parent).as_posix()
        try:
            trees = list(parse_yamls_with_source_position(written.read_text("utf-8"), str(written)))
            faults = [] if trees and trees[0].value is not None else [sentence(file, 1, "the file is empty")]
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            faults = [syntax_fault(file, error)]
        if faults:
            beginning = SourcePosition(str(written), LineCol(1, 1), LineCol(1, 1))
            trees = [ValueAndSourcePositionTree(None, SourcePositionTree(beginning, {}))]
        decls = []
        for number, tree in enumerate(trees):
            place = _Place(context.for_component_loc(ComponentPath.from_path(context.path, number)), file, tree)
            if isinstance(tree.value, dict) and tree.value.get("type") == "dagster.DefsFolderComponent":
                try:
                    return self._folder(context, tree)
                except ValidationError as error:
                    faults = document_faults(file, tree, error)
            decls.append(_not_loaded(place, faults) if faults else self._document(place))
        return YamlFileDecl(
            loc=ComponentPath.from_path(context.path),
            context=context,
            decls=decls,
            source_positions=[tree.source_position_tree.position for tree in trees],
        )

    def _document(self, place: _Place) -> ComponentDecl:
        """The declaration of a connection or a mart, which is loaded once to see that it can be."""
        try:
            decl = build_component_decl_from_yaml_document(place.context, place.tree, place.context.component_path)
            if isinstance(decl, YamlDecl) and issubclass(decl.component_type, tuple(_OURS)):
                component = decl._load_component()
                component.build_defs(ComponentLoadContext.from_decl_load_context(place.context, decl))
                decl.get_asset_post_processor_lists()
        except Exception as error:  # whatever it is, it is said, and stops no other
            return _not_loaded(place, document_faults(place.file, place.tree, error))
        return decl

    def _without_namesakes(self, root: ComponentDecl) -> ComponentDecl:
        """Of several connections, or marts, of one name none is loaded: they would replace each other's rows.

        Nor is any of several files of exchange rates, or sets of alerts.
        """
        found: dict[tuple[str, str], list[tuple[YamlFileDecl, int, YamlDecl]]] = {}
        for file in _files(root):
            for number, decl in enumerate(file.decls):
                for kind, what in _OURS.items():
                    if isinstance(decl, YamlDecl) and issubclass(decl.component_type, kind):
                        name = decl.component_file_model.attributes.get("name", "")
                        found.setdefault((what, name), []).append((file, number, decl))
        for (what, name), namesakes in found.items():
            for file, number, decl in namesakes if len(namesakes) > 1 else ():
                other = next(one for _, _, one in namesakes if one is not decl)
                place = _Place(decl.context, self._named(decl), decl.source_tree)
                keys = ["attributes", "name"] if name else ["attributes"]
                line = decl.source_tree.source_position_tree.lookup(keys).start.line
                said = (
                    f"`name`: {self._named(other)} has the name {name!r}, too: two {what}s are named {name!r}; "
                    "give one of them another name"
                    if name
                    else f"{self._named(other)} is a {what}, too, and a project has one; remove one of them"
                )
                file.decls[number] = _not_loaded(place, [sentence(place.file, line, said)])
        return root

    def _named(self, decl: YamlDecl) -> str:
        return find_defs_or_component_yaml(decl.context.path).relative_to(self.defs_module_path.parent).as_posix()


def _files(decl: ComponentDecl) -> Iterator[YamlFileDecl]:
    if isinstance(decl, YamlFileDecl):
        yield decl
    for child in decl.iterate_child_component_decls():
        yield from _files(child)


@record
class _NotLoadedDecl(YamlBackedComponentDecl[NotLoaded]):
    """Stands where the declaration of the connection would."""

    component: NotLoaded

    @property
    def component_type(self) -> type[NotLoaded]:
        return NotLoaded

    def _load_component(self) -> NotLoaded:
        return self.component


def _not_loaded(place: _Place, sentences: list[str]) -> _NotLoadedDecl:
    number = place.context.component_path.instance_key
    folder = place.context.path.relative_to(place.context.defs_module_path)
    component = NotLoaded(
        folder=(*folder.parts, *([str(number + 1)] if number else [])),
        name=place.name or folder.name,
        what=place.what,
        attributes=place.attributes,
        sentences=tuple(map(without_secrets, sentences)),
    )
    return _NotLoadedDecl(
        context=place.context,
        loc=place.context.component_path,
        source_tree=None,
        component_file_model=None,
        component=component,
    )
