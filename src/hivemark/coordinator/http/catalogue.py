"""Routes of what there is to choose from: questions, models, regions."""

from fastapi import APIRouter

from hivemark.api import routes
from hivemark.api.http import (
    ModelsBody,
    QuestionBody,
    QuestionsBody,
    RegionsBody,
    RegionSummaryBody,
)
from hivemark.coordinator.http.bodies import model_body
from hivemark.coordinator.http.context import Ctx
from hivemark.coordinator.service.models import catalogue

router = APIRouter(tags=["catalogue"])


@router.get(routes.QUESTIONS)
async def list_questions(context: Ctx) -> QuestionsBody:
    """The published questions, by set."""
    return QuestionsBody(
        questions=[
            QuestionBody(
                id=question.id,
                text=question.text,
                category=question.category,
                language=question.language,
                expected=question.expected,
                set_name=question.set_name,
                set_version=question.set_version,
                set_sha256=question.set_sha256,
                source=question.source,
            )
            for question in context.services.questions.all()
        ]
    )


@router.get(routes.MODELS)
async def list_models(context: Ctx) -> ModelsBody:
    """The models that hives of this network offer."""
    hives = await context.pool.run(context.services.hives.all)
    price = context.services.rules.intake.price
    return ModelsBody(models=[model_body(offered, price) for offered in catalogue(hives)])


@router.get(routes.REGIONS)
async def list_regions(context: Ctx) -> RegionsBody:
    """The regions a job may name, and the hives that claim them."""
    hives = [hive for hive in await context.pool.run(context.services.hives.all) if hive.status == "active"]
    return RegionsBody(
        regions=[
            RegionSummaryBody(
                name=region,
                hives=sum(hive.region == region for hive in hives),
                linked=sum(hive.region == region and hive.linked for hive in hives),
            )
            for region in context.services.rules.intake.regions
        ]
    )
